metadata description = 'Events of files that are dropped, brought to the queue of the same name as their container.'

param name string
param location string
param tags object
param accountName string
param importContainer string

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: accountName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: account.id
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

module topicRoles 'storage-roles.bicep' = {
  name: 'import-roles'
  params: {
    accountName: accountName
    principalId: topic.identity.principalId
    roles: ['queueMessageSender']
  }
}

resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'dropped-files'
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    filter: {
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
      subjectBeginsWith: '/blobServices/default/containers/${importContainer}/blobs/'
    }
    deliveryWithResourceIdentity: {
      identity: {
        type: 'SystemAssigned'
      }
      destination: {
        endpointType: 'StorageQueue'
        properties: {
          resourceId: account.id
          queueName: importContainer
          // No end: an app that was stopped for a week finds them all.
          queueMessageTimeToLiveInSeconds: -1
        }
      }
    }
    // What cannot be brought in a day is found by the poll.
    retryPolicy: {
      eventTimeToLiveInMinutes: 1440
      maxDeliveryAttempts: 30
    }
  }
  dependsOn: [topicRoles]
}
