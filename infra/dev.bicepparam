using 'main.bicep'

// One app with all versions, nothing that costs while nobody uses it. Callers need tokens: it is on the internet.
param apps = [
  {
    name: 'all'
    versions: []
    alwaysReady: 0
  }
]
param dataSku = 'Standard_LRS'
param softDeleteDays = 1
param corsOrigins = ['http://localhost:3000']
param authAuthority = 'https://login.microsoftonline.com/${readEnvironmentVariable('AZURE_TENANT_ID')}/v2.0'
param authTenants = [readEnvironmentVariable('AZURE_TENANT_ID')]
param authAudiences = [readEnvironmentVariable('DICOM_AUDIENCE')]
param logGigabytesPerDay = 1
param tags = {
  environment: 'dev'
}
