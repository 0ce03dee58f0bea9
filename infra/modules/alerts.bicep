metadata description = 'What somebody should be woken for.'

param name string
param location string
param tags object
param emails string[]
param workspaceId string
param accountIds string[]

// The texts are what the service writes to its log; a check finds each of them in the code.
var logAlerts = [
  {
    name: 'server-errors'
    description: 'More than 5 in 100 answers of a quarter of an hour were 500 or above.'
    severity: 1
    window: 'PT15M'
    query: '''
      AppTraces
      | where Message startswith 'request operation='
      | extend status = toint(extract(@'status=(\d+)', 1, Message))
      | summarize answers = sum(ItemCount), failed = sumif(ItemCount, status >= 500)
      | where answers >= 20
      | project percent = 100.0 * failed / answers
    '''
    column: 'percent'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 5
  }
  {
    name: 'given-up-work'
    description: 'A message came to a poison queue, or an operation has failed.'
    severity: 2
    window: 'PT15M'
    query: '''
      AppTraces
      | where Message startswith 'operation kind='
          or Message startswith 'a message of the queue of jobs'
          or Message startswith 'a message about a dropped file'
          or Message startswith 'a message of the import queue'
    '''
    column: ''
    aggregation: 'Count'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'unexpected-errors'
    description: 'The service met what nobody thought of.'
    severity: 2
    window: 'PT15M'
    query: '''
      AppTraces
      | where Message startswith 'unexpected error' or Message startswith 'undeclared status'
    '''
    column: ''
    aggregation: 'Count'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'no-sweep'
    description: 'For half an hour no sweep came to its end: no app has the background work, or each try fails.'
    severity: 2
    window: 'PT30M'
    query: '''
      AppTraces
      | where Message startswith 'sweep '
    '''
    column: ''
    aggregation: 'Count'
    operator: 'LessThan'
    threshold: 1
  }
]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${name}-alerts'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'dicom'
    emailReceivers: [
      for (email, i) in emails: {
        name: 'receiver ${i + 1}'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource logRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in logAlerts: {
    name: '${name}-${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.name
      description: alert.description
      severity: alert.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT15M'
      windowSize: alert.window
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: alert.aggregation
            metricMeasureColumn: empty(alert.column) ? null : alert.column
            operator: alert.operator
            threshold: alert.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      // Tables come to be with the first line; a workspace of today has none.
      skipQueryValidation: true
      actions: {
        actionGroups: [group.id]
      }
    }
  }
]

resource throttled 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for accountId in accountIds: {
    name: '${name}-throttled-${last(split(accountId, '/'))}'
    location: 'global'
    tags: tags
    properties: {
      description: 'Storage turned away more than 100 calls in a quarter of an hour: a partition or the account is at its limit.'
      severity: 2
      enabled: true
      scopes: [accountId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: 'throttled'
            metricNamespace: 'Microsoft.Storage/storageAccounts'
            metricName: 'Transactions'
            dimensions: [
              {
                name: 'ResponseType'
                operator: 'Include'
                values: [
                  'ServerBusyError'
                  'ClientThrottlingError'
                  'ClientAccountBandwidthThrottlingError'
                  'ClientAccountRequestThrottlingError'
                ]
              }
            ]
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: 100
          }
        ]
      }
      autoMitigate: true
      actions: [
        {
          actionGroupId: group.id
        }
      ]
    }
  }
]
