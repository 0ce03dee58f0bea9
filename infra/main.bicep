metadata description = 'The service on Flex Consumption: storage, apps, monitoring, and what connects them.'

targetScope = 'resourceGroup'

@description('One function app. The first of the list runs the background work, and answers what belongs to no version.')
type appType = {
  @description('Part of the names of its resources: small letters and digits.')
  @minLength(1)
  @maxLength(16)
  name: string

  @description('Labels it serves, such as v1; empty for all there are.')
  versions: string[]

  @description('Instances that wait for requests day and night, and are paid for; 0 starts them when a request comes.')
  alwaysReady: int
}

@description('Begin of all names: small letters and digits.')
@minLength(2)
@maxLength(6)
param prefix string = 'dicom'

@description('Where everything is.')
param location string = resourceGroup().location

@description('Put on every resource.')
param tags object = {}

@description('One app with all versions, or several with some each. The first one has the background work.')
@minLength(1)
param apps appType[] = [
  {
    name: 'all'
    versions: []
    alwaysReady: 0
  }
]

@description('Who can reach the apps: everybody, only Front Door, or only the network.')
@allowed(['public', 'frontDoor', 'private'])
param inbound string = 'public'

@description('Whether storage is reached by private endpoints only.')
param privateStorage bool = false

@description('Addresses of the network, where there is one; a /24 or larger.')
param addressPrefix string = '10.20.0.0/24'

@description('Copies of the data: Standard_LRS, in one datacentre; Standard_ZRS, in three; Standard_GZRS, in another region too.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGZRS'])
param dataSku string = 'Standard_ZRS'

@description('How many days deleted blobs and containers can be had back; 0 for not at all.')
@minValue(0)
@maxValue(365)
param softDeleteDays int = 7

@description('Memory of an instance in MB; 2048 is one core.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('The most instances of an app. It bounds what a storm of requests can cost.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Requests at once on an instance. The plan would take 1 for Python, which is for code that does not await.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = 16

@description('Origins of pages in browsers that may use the service; one item * for all.')
param corsOrigins string[] = []

@description('jwt: callers need a token. off is for a network in which everybody may read every image.')
@allowed(['jwt', 'off'])
param authMode string = 'jwt'

@description('Address below which the OpenID configuration of the issuer is.')
param authAuthority string = ''

@description('For whom tokens are meant (aud).')
param authAudiences string[] = []

@description('Whose tokens are taken (iss); empty for the one the authority names.')
param authIssuers string[] = []

@description('Where the keys of the issuer are; empty for where the authority says.')
param authKeysUrl string = ''

@description('Tenants whose tokens are taken (tid); empty when the claim is not looked at.')
param authTenants string[] = []

@description('The claim with the roles of the caller.')
param authRolesClaim string = 'roles'

@description('Further roles, as JSON.')
param authRoles string = ''

@description('Largest request body taken, in bytes. The platform is set 10 MiB above, and documents no more than 210 MB.')
@minValue(1048576)
@maxValue(209715200)
param maxRequestBytes int = 209715200

@description('Whether answers tell how long they took, and storage.')
param serverTiming bool = false

@description('Address of an OpenTelemetry collector (OTLP over HTTP, such as https://collector.example.org:4318) for traces and metrics; empty for none.')
param openTelemetryEndpoint string = ''

@description('Whether data live in named partitions.')
param dataPartitions bool = false

@description('How long an operation stays with a worker that fell silent.')
@minValue(30)
param leaseSeconds int = 120

@description('Whether instances may be exported.')
param exportOn bool = true

@description('What may be exported to: identity, sas.')
param exportDestinations string[] = ['identity', 'sas']

@description('Whether dropped files are stored.')
param importOn bool = true

@description('Container that files are dropped into, and queue of the events about them.')
@minLength(3)
@maxLength(55)
param importContainer string = 'dicom-import'

@description('Version by whose rules dropped files are judged; empty for the newest stable one.')
param importVersion string = ''

@description('What becomes of a dropped file that was stored.')
@allowed(['delete', 'keep'])
param importStored string = 'delete'

@description('After how many days outcomes of imports are forgotten; 0 for never.')
@minValue(0)
param importOutcomeDays int = 90

@description('Who is written to when an alert fires; empty for nobody, and then there are no alerts.')
param alertEmails string[] = []

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logDays int = 30

@description('Versions that are deprecated: the workbook begins with who still calls them.')
param endingVersions string[] = []

@description('The most that logs may bring in a day, in GB; what comes after that is lost. -1 for no limit.')
@minValue(-1)
param logGigabytesPerDay int = 5

var suffix = uniqueString(resourceGroup().id)
var container = 'dicom'
var hasNetwork = privateStorage || inbound == 'private'
// As many kinds of storage as the service uses; Flex Consumption needs no file share.
var storageServices = ['blob', 'queue', 'table']

// What all apps are told. shared/settings.py reads these; a check compares the two lists.
var serviceSettings = {
  DICOM_CONTAINER: container
  DICOM_MAX_REQUEST_BYTES: string(maxRequestBytes)
  DICOM_DATA_PARTITIONS: dataPartitions ? 'on' : 'off'
  DICOM_SERVER_TIMING: serverTiming ? 'on' : 'off'
  OTEL_EXPORTER_OTLP_ENDPOINT: openTelemetryEndpoint
  DICOM_LEASE_SECONDS: string(leaseSeconds)
  DICOM_EXPORT: exportOn ? 'on' : 'off'
  DICOM_EXPORT_DESTINATIONS: join(exportDestinations, ',')
  DICOM_IMPORT: importOn ? 'on' : 'off'
  DICOM_IMPORT_CONTAINER: importContainer
  DICOM_IMPORT_VERSION: importVersion
  DICOM_IMPORT_STORED: importStored
  DICOM_TRUST_FORWARDED: inbound == 'frontDoor' ? 'on' : 'off'
  DICOM_AUTH: authMode
  DICOM_AUTH_AUTHORITY: authAuthority
  DICOM_AUTH_AUDIENCES: join(authAudiences, ',')
  DICOM_AUTH_ISSUERS: join(authIssuers, ',')
  DICOM_AUTH_JWKS_URL: authKeysUrl
  DICOM_AUTH_TENANTS: join(authTenants, ',')
  DICOM_AUTH_ROLES_CLAIM: authRolesClaim
  DICOM_AUTH_ROLES: authRoles
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: string(maxRequestBytes + 10485760)
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${prefix}-identity-${suffix}'
  location: location
  tags: tags
}

module network 'modules/network.bicep' = if (hasNetwork) {
  name: 'network'
  params: {
    name: '${prefix}-network-${suffix}'
    location: location
    tags: tags
    addressPrefix: addressPrefix
    storageServices: storageServices
  }
}

module dataStorage 'modules/storage.bicep' = {
  name: 'data-storage'
  params: {
    name: '${prefix}data${suffix}'
    location: location
    tags: tags
    sku: dataSku
    privateOnly: privateStorage
    softDeleteDays: softDeleteDays
    containers: [container, importContainer, '${importContainer}-results']
    queues: ['dicom-jobs', 'dicom-jobs-poison', importContainer, '${importContainer}-poison']
    forgottenPrefix: '${importContainer}-results/outcomes/'
    forgottenDays: importOutcomeDays
  }
}

module hostStorage 'modules/storage.bicep' = {
  name: 'host-storage'
  params: {
    name: '${prefix}host${suffix}'
    location: location
    tags: tags
    sku: 'Standard_LRS'
    privateOnly: privateStorage
    softDeleteDays: 0
    containers: [for app in apps: 'package-${app.name}']
    queues: []
    forgottenPrefix: ''
    forgottenDays: 0
  }
}

module dataRoles 'modules/storage-roles.bicep' = {
  name: 'data-roles'
  params: {
    accountName: dataStorage.outputs.name
    principalId: identity.properties.principalId
    roles: ['blobDataContributor', 'tableDataContributor', 'queueDataContributor']
  }
}

module hostRoles 'modules/storage-roles.bicep' = {
  name: 'host-roles'
  params: {
    accountName: hostStorage.outputs.name
    principalId: identity.properties.principalId
    roles: ['blobDataOwner', 'tableDataContributor', 'queueDataContributor']
  }
}

module dataEndpoints 'modules/private-endpoint.bicep' = [
  for (service, i) in storageServices: if (privateStorage) {
    name: 'data-${service}-endpoint'
    params: {
      name: '${prefix}-data-${service}-${suffix}'
      location: location
      tags: tags
      subnetId: network!.outputs.endpointSubnetId
      targetId: dataStorage.outputs.id
      group: service
      zoneId: network!.outputs.storageZoneIds[i]
    }
  }
]

module hostEndpoints 'modules/private-endpoint.bicep' = [
  for (service, i) in storageServices: if (privateStorage) {
    name: 'host-${service}-endpoint'
    params: {
      name: '${prefix}-host-${service}-${suffix}'
      location: location
      tags: tags
      subnetId: network!.outputs.endpointSubnetId
      targetId: hostStorage.outputs.id
      group: service
      zoneId: network!.outputs.storageZoneIds[i]
    }
  }
]

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    name: '${prefix}-${suffix}'
    location: location
    tags: tags
    logDays: logDays
    logGigabytesPerDay: logGigabytesPerDay
    principalId: identity.properties.principalId
  }
}

module frontDoor 'modules/front-door.bicep' = if (inbound == 'frontDoor') {
  name: 'front-door'
  params: {
    name: '${prefix}-${suffix}'
    tags: tags
  }
}

module functionApps 'modules/app.bicep' = [
  for (app, i) in apps: {
    name: 'app-${app.name}'
    params: {
      name: '${prefix}-${app.name}-${suffix}'
      location: location
      tags: tags
      identityId: identity.id
      identityClientId: identity.properties.clientId
      hostAccountName: hostStorage.outputs.name
      packageContainerUrl: '${hostStorage.outputs.blobUrl}package-${app.name}'
      dataAccountName: dataStorage.outputs.name
      versions: app.versions
      // By its place in the list, so that it is exactly one whatever the list is.
      background: i == 0
      settings: serviceSettings
      corsOrigins: corsOrigins
      subnetId: hasNetwork ? network!.outputs.appSubnetId : ''
      publicInbound: inbound != 'private'
      frontDoorId: inbound == 'frontDoor' ? frontDoor!.outputs.frontDoorId : ''
      insightsConnection: monitoring.outputs.connectionString
      instanceMemoryMB: instanceMemoryMB
      maximumInstanceCount: maximumInstanceCount
      alwaysReady: app.alwaysReady
      httpConcurrency: httpConcurrency
    }
    // An app that starts before its roles and its way to storage are there does not start.
    dependsOn: [dataRoles, hostRoles, dataEndpoints, hostEndpoints]
  }
]

module appEndpoints 'modules/private-endpoint.bicep' = [
  for (app, i) in apps: if (inbound == 'private') {
    name: 'app-${app.name}-endpoint'
    params: {
      name: '${prefix}-${app.name}-${suffix}'
      location: location
      tags: tags
      subnetId: network!.outputs.endpointSubnetId
      targetId: functionApps[i].outputs.id
      group: 'sites'
      zoneId: network!.outputs.appZoneId
    }
  }
]

module frontDoorRoutes 'modules/front-door-routes.bicep' = if (inbound == 'frontDoor') {
  name: 'front-door-routes'
  params: {
    profileName: frontDoor!.outputs.profileName
    endpointName: frontDoor!.outputs.endpointName
    ruleSetName: frontDoor!.outputs.ruleSetName
    apps: [
      for (app, i) in apps: {
        name: app.name
        versions: app.versions
        hostName: functionApps[i].outputs.hostName
      }
    ]
  }
}

module importEvents 'modules/import-events.bicep' = if (importOn) {
  name: 'import-events'
  params: {
    name: '${prefix}-import-${suffix}'
    location: location
    tags: tags
    accountName: dataStorage.outputs.name
    importContainer: importContainer
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    endingVersions: endingVersions
  }
}

module alerts 'modules/alerts.bicep' = if (!empty(alertEmails)) {
  name: 'alerts'
  params: {
    name: '${prefix}-${suffix}'
    location: location
    tags: tags
    emails: alertEmails
    workspaceId: monitoring.outputs.workspaceId
    accountIds: [dataStorage.outputs.id, hostStorage.outputs.id]
  }
}

@description('Names of the function apps, in the order of the list.')
output appNames array = [for (app, i) in apps: functionApps[i].outputs.name]

@description('Where clients reach the service.')
output address string = inbound == 'frontDoor'
  ? 'https://${frontDoor!.outputs.hostName}'
  : 'https://${functionApps[0].outputs.hostName}'

@description('The account that has the data.')
output dataAccountName string = dataStorage.outputs.name

@description('The workbook: who calls which version, errors, costs.')
output workbookId string = workbook.outputs.id

@description('Give this identity a role on each container that is meant for exports.')
output identityPrincipalId string = identity.properties.principalId
