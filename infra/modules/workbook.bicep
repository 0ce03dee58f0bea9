metadata description = 'Usage, errors and costs in pictures: who calls which version, above all.'

param location string
param tags object

@description('The logs that it asks.')
param workspaceId string

@description('Versions that it begins with as those that are to end.')
param endingVersions string[]

// Made of the queries of docs/operating.md by `python -m shared.dev.infra workbook`; two marks are filled in here.
var content = loadTextContent('../workbook.json')
var asked = replace(content, '@@WORKSPACE@@', workspaceId)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  // A workbook is named by a GUID, and by it alone.
  name: guid(workspaceId, 'usage')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'DICOMweb service: usage, errors, costs'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: replace(asked, '"@@ENDING@@"', string(endingVersions))
  }
}

output id string = workbook.id
