metadata description = 'A function app on a Flex Consumption plan of its own, which is how the plan is made: one app each.'

param name string
param location string
param tags object
param identityId string
param identityClientId string
param hostAccountName string

@description('Container of the host account that the package of this app is put into.')
param packageContainerUrl string

param dataAccountName string

@description('Labels it serves; empty for all.')
param versions string[]

@description('Whether it runs the queue and timer triggers.')
param background bool

@description('What all apps are told.')
param settings object

param corsOrigins string[]

@description('Subnet that calls go out by; empty for none.')
param subnetId string

@description('Whether it has an address on the internet.')
param publicInbound bool

@description('Id of the Front Door that alone may call it; empty when everybody may.')
param frontDoorId string

param insightsConnection string
param instanceMemoryMB int
param maximumInstanceCount int
param alwaysReady int
param httpConcurrency int

// Nothing here opens anything: accounts are named, and reached with the identity.
var appSettings = union(settings, {
  AzureWebJobsStorage__accountName: hostAccountName
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsDisableHomepage: 'true'
  // Python 3.13 does without; an app that is set to 3.12 hangs without.
  PYTHON_ENABLE_INIT_INDEXING: '1'
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  DICOM_STORAGE__accountName: dataAccountName
  DICOM_STORAGE__credential: 'managedidentity'
  DICOM_STORAGE__clientId: identityClientId
  DICOM_API_VERSIONS: join(versions, ',')
  DICOM_BACKGROUND: background ? 'on' : 'off'
  DICOM_CORS_ORIGINS: join(corsOrigins, ',')
})

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: publicInbound ? 'Enabled' : 'Disabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      cors: {
        allowedOrigins: corsOrigins
        supportCredentials: false
      }
      ipSecurityRestrictionsDefaultAction: empty(frontDoorId) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: empty(frontDoorId)
        ? []
        : [
            {
              name: 'front-door'
              action: 'Allow'
              priority: 100
              tag: 'ServiceTag'
              ipAddress: 'AzureFrontDoor.Backend'
              headers: {
                'x-azure-fdid': [frontDoorId]
              }
            }
          ]
      // Packages come from elsewhere than calls do, with a token of whoever deploys.
      scmIpSecurityRestrictionsUseMain: false
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReady == 0
          ? []
          : [
              {
                name: 'http'
                instanceCount: alwaysReady
              }
            ]
        triggers: {
          http: {
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
    }
  }
}

// Replaces all settings of the app: what is not here is not there.
resource appConfig 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: appSettings
}

resource ftpAccess 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmAccess 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

output id string = app.id
output name string = app.name
output hostName string = app.properties.defaultHostName
