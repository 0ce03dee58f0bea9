"""What can be known of the Bicep files without Azure."""
