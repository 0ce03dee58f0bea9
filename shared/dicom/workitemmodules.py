"""Attributes of modules that a workitem takes in as a whole (PS3.4 table CC.2.5-3), where no stricter rule stands.

They are optional, and have a value where they are there (contract appendix 2).
"""

from __future__ import annotations

# PS3.3 §C.12.1.
_SOP_COMMON = """
    SpecificCharacterSet InstanceCreationDate InstanceCreationTime InstanceCoercionDateTime InstanceCreatorUID
    RelatedGeneralSOPClassUID OriginalSpecializedSOPClassUID CodingSchemeIdentificationSequence
    ContextGroupIdentificationSequence MappingResourceIdentificationSequence TimezoneOffsetFromUTC
    ContributingEquipmentSequence InstanceNumber SOPInstanceStatus SOPAuthorizationDateTime SOPAuthorizationComment
    AuthorizationEquipmentCertificationNumber MACParametersSequence DigitalSignaturesSequence
    EncryptedAttributesSequence OriginalAttributesSequence HL7StructuredDocumentReferenceSequence
    LongitudinalTemporalInformationModified QueryRetrieveView ConversionSourceAttributesSequence
    ContentQualification PrivateDataElementCharacteristicsSequence InstanceOriginStatus BarcodeValue
"""
# PS3.3 §C.2.2 and §C.2.3.
_PATIENT = """
    OtherPatientNames PatientBirthName PatientMotherBirthName MedicalRecordLocator ReferencedPatientPhotoSequence
    PatientAge Occupation ConfidentialityConstraintOnPatientDataDescription PatientBirthTime
    PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar
    QualityControlSubject PatientInsurancePlanCodeSequence PatientPrimaryLanguageCodeSequence PatientSize
    PatientSizeCodeSequence PatientWeight PatientAddress MilitaryRank BranchOfService CountryOfResidence
    RegionOfResidence PatientTelephoneNumbers PatientTelecomInformation EthnicGroup EthnicGroupCodeSequence
    PatientReligiousPreference PatientComments ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence
    BreedRegistrationSequence
"""
# PS3.3 §C.2.4; what has a row of its own in the table of rules is not here.
_MEDICAL = """
    Allergies SmokingStatus AdditionalPatientHistory LastMenstrualDate PatientSexNeutered PatientState
    PertinentDocumentsSequence PertinentResourcesSequence PatientClinicalTrialParticipationSequence
"""
# PS3.3 §C.3.1 to §C.3.4.
_VISIT = """
    ReferencedStudySequence ReferencedPatientSequence InstitutionName InstitutionAddress InstitutionCodeSequence
    InstitutionalDepartmentName ReasonForVisit ReasonForVisitCodeSequence ServiceEpisodeID
    IssuerOfServiceEpisodeIDSequence ServiceEpisodeDescription VisitStatusID CurrentPatientLocation
    PatientInstitutionResidence VisitComments ReferringPhysicianName ReferringPhysicianAddress
    ReferringPhysicianTelephoneNumbers ReferringPhysicianIdentificationSequence ConsultingPhysicianName
    ConsultingPhysicianIdentificationSequence RouteOfAdmissions AdmittingDate AdmittingTime
"""
OTHERS = f"{_SOP_COMMON} {_PATIENT} {_MEDICAL} {_VISIT}"
"""Keywords with white space between them."""

# PS3.4 table CC.2.5-2d beside the attributes that must be there.
REST_OF_REQUEST = """
    ReasonForTheRequestedProcedure ReasonForRequestedProcedureCodeSequence RequestedProcedureComments
    ConfidentialityCode NamesOfIntendedRecipientsOfResults PlacerOrderNumberImagingServiceRequest
    FillerOrderNumberImagingServiceRequest ImagingServiceRequestComments RequestingPhysician RequestingService
    RequestingServiceCodeSequence IssueDateOfImagingServiceRequest IssueTimeOfImagingServiceRequest
    OrderEnteredBy OrderEntererLocation OrderCallbackPhoneNumber ReferringPhysicianName
"""
"""Of an item of ReferencedRequestSequence."""
