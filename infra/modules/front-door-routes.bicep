metadata description = 'Which app answers which path: each its versions, the first one everything else.'

type routedAppType = {
  name: string
  versions: string[]
  hostName: string
}

param profileName string
param endpointName string
param ruleSetName string
param apps routedAppType[]

// How callers may write a version: v1 and v1.0; v1.0-prerelease, v1-prerelease, v1prerelease and so on. Case makes no difference.
func spellings(label string) array =>
  contains(label, '-')
    ? union([label], [replace(label, '.0-', '-')], [replace(label, '.0-', '')], [replace(label, '-', '')])
    : [label, '${label}.0']

func pathsOf(label string) array => flatten(map(spellings(label), word => ['/${word}', '/${word}/*']))

resource profile 'Microsoft.Cdn/profiles@2025-06-01' existing = {
  name: profileName

  resource endpoint 'afdEndpoints' existing = {
    name: endpointName
  }

  resource ruleSet 'ruleSets' existing = {
    name: ruleSetName
  }
}

resource groups 'Microsoft.Cdn/profiles/originGroups@2025-06-01' = [
  for app in apps: {
    parent: profile
    name: app.name
    properties: {
      // No probe: it would keep an instance awake day and night, and there is one origin to choose from.
      loadBalancingSettings: {
        sampleSize: 4
        successfulSamplesRequired: 3
        additionalLatencyInMilliseconds: 50
      }
      sessionAffinityState: 'Disabled'
    }
  }
]

resource origins 'Microsoft.Cdn/profiles/originGroups/origins@2025-06-01' = [
  for (app, i) in apps: {
    parent: groups[i]
    name: app.name
    properties: {
      hostName: app.hostName
      originHostHeader: app.hostName
      httpsPort: 443
      priority: 1
      weight: 1000
      enabledState: 'Enabled'
      enforceCertificateNameCheck: true
    }
  }
]

resource routes 'Microsoft.Cdn/profiles/afdEndpoints/routes@2025-06-01' = [
  for (app, i) in apps: {
    parent: profile::endpoint
    name: app.name
    properties: {
      originGroup: {
        id: groups[i].id
      }
      ruleSets: [
        {
          id: profile::ruleSet.id
        }
      ]
      // The longest path wins, so the first app gets what no other one asks for: its own versions, /versions, /health.
      patternsToMatch: i == 0 ? ['/*'] : flatten(map(app.versions, label => pathsOf(label)))
      supportedProtocols: ['Http', 'Https']
      httpsRedirect: 'Enabled'
      forwardingProtocol: 'HttpsOnly'
      linkToDefaultDomain: 'Enabled'
      enabledState: 'Enabled'
    }
    dependsOn: [origins]
  }
]
