"""What the service costs on Azure: what requests make storage do, times prices."""
