using 'main.bicep'

// An app for each version behind Front Door, so that versions are deployed and scaled apart. The newest comes first: it has
// the background work and answers what belongs to no version.
param apps = [
  {
    name: 'v2'
    versions: ['v2']
    alwaysReady: 1
  }
  {
    name: 'v1'
    versions: ['v1']
    alwaysReady: 0
  }
  {
    name: 'pre'
    versions: ['v1.0-prerelease']
    alwaysReady: 0
  }
]
param inbound = 'frontDoor'
param privateStorage = true
param dataSku = 'Standard_ZRS'
param softDeleteDays = 14
param maximumInstanceCount = 100
param authAuthority = 'https://login.microsoftonline.com/${readEnvironmentVariable('AZURE_TENANT_ID')}/v2.0'
param authTenants = [readEnvironmentVariable('AZURE_TENANT_ID')]
param authAudiences = [readEnvironmentVariable('DICOM_AUDIENCE')]
param alertEmails = [readEnvironmentVariable('DICOM_ALERT_EMAIL')]
param logDays = 90
param tags = {
  environment: 'prod'
}
