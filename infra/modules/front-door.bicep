metadata description = 'One public name for all apps. Routes come later, because apps are told the id of the Front Door first.'

param name string
param tags object

resource profile 'Microsoft.Cdn/profiles@2025-06-01' = {
  name: name
  location: 'global'
  tags: tags
  sku: {
    name: 'Standard_AzureFrontDoor'
  }
  properties: {
    // The longest it can wait; an answer that takes long to begin would otherwise be a 504.
    originResponseTimeoutSeconds: 240
  }
}

resource endpoint 'Microsoft.Cdn/profiles/afdEndpoints@2025-06-01' = {
  parent: profile
  name: name
  location: 'global'
  tags: tags
  properties: {
    enabledState: 'Enabled'
  }
}

resource ruleSet 'Microsoft.Cdn/profiles/ruleSets@2025-06-01' = {
  parent: profile
  name: 'headers'
}

// Front Door writes X-Forwarded-Host and -Proto itself and lets a caller's prefix through; apps that believe a proxy
// must not get it.
resource dropPrefix 'Microsoft.Cdn/profiles/ruleSets/rules@2025-06-01' = {
  parent: ruleSet
  name: 'dropForwardedPrefix'
  properties: {
    order: 1
    conditions: []
    actions: [
      {
        name: 'ModifyRequestHeader'
        parameters: {
          typeName: 'DeliveryRuleHeaderActionParameters'
          headerAction: 'Delete'
          headerName: 'X-Forwarded-Prefix'
        }
      }
    ]
    matchProcessingBehavior: 'Continue'
  }
}

output frontDoorId string = profile.properties.frontDoorId
output profileName string = profile.name
output endpointName string = endpoint.name
output ruleSetName string = ruleSet.name
output hostName string = endpoint.properties.hostName
