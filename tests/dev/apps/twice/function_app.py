"""Two apps in one file, and background functions that cannot run."""

import azure.functions as func

app = func.FunctionApp()
second = func.FunctionApp()
