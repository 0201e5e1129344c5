"""The keys that machine descriptions of AWS and Google Cloud may hold, used where the cloud's SDK is not installed.

Names of RunInstances (EC2) and of the Instance resource (Compute Engine); a test compares them with the SDKs.
"""

from __future__ import annotations

_AWS_DISK = {
    "DeviceName": "string",
    "NoDevice": "string",
    "VirtualName": "string",
    "Ebs": {
        **dict.fromkeys(("SnapshotId", "KmsKeyId", "OutpostArn", "AvailabilityZone", "AvailabilityZoneId"), "string"),
        **dict.fromkeys(("VolumeSize", "Iops", "Throughput", "VolumeInitializationRate", "EbsCardIndex"), "integer"),
        **dict.fromkeys(("DeleteOnTermination", "Encrypted"), "boolean"),
        "VolumeType": ("standard", "io1", "io2", "gp2", "sc1", "st1", "gp3"),
    },
}

AWS = {
    **dict.fromkeys(
        (
            "ImageId",
            "InstanceType",
            "KeyName",
            "SubnetId",
            "UserData",
            "KernelId",
            "RamdiskId",
            "PrivateIpAddress",
            "AdditionalInfo",
            "ClientToken",
        ),
        "string",
    ),
    **dict.fromkeys(
        ("DisableApiStop", "DisableApiTermination", "EbsOptimized", "EnablePrimaryIpv6", "DryRun"), "boolean"
    ),
    **dict.fromkeys(("MinCount", "MaxCount", "Ipv6AddressCount"), "integer"),
    **dict.fromkeys(("SecurityGroupIds", "SecurityGroups"), ["string"]),
    **dict.fromkeys(
        (
            *(
                "Ipv6Addresses",
                "Monitoring",
                "ElasticGpuSpecification",
                "ElasticInferenceAccelerators",
                "TagSpecifications",
                "LaunchTemplate",
            ),
            *(
                "CreditSpecification",
                "CpuOptions",
                "CapacityReservationSpecification",
                "HibernationOptions",
                "LicenseSpecifications",
            ),
            *("EnclaveOptions", "PrivateDnsNameOptions", "MaintenanceOptions", "NetworkPerformanceOptions", "Operator"),
            *("SecondaryInterfaces", "NetworkInterfaces", "Placement"),
        ),
        "any",
    ),
    "BlockDeviceMappings": [_AWS_DISK],
    "IamInstanceProfile": {"Arn": "string", "Name": "string"},
    "InstanceInitiatedShutdownBehavior": ("stop", "terminate"),
    "InstanceMarketOptions": {
        "MarketType": ("spot", "capacity-block", "interruptible-capacity-reservation", "on-demand"),
        "SpotOptions": {
            "MaxPrice": "string",
            "SpotInstanceType": ("one-time", "persistent"),
            "BlockDurationMinutes": "integer",
            "ValidUntil": "any",
            "InstanceInterruptionBehavior": ("hibernate", "stop", "terminate"),
        },
    },
    "MetadataOptions": {
        "HttpTokens": ("optional", "required"),
        "HttpPutResponseHopLimit": "integer",
        **dict.fromkeys(("HttpEndpoint", "HttpProtocolIpv6", "InstanceMetadataTags"), ("disabled", "enabled")),
    },
}

_GCP_SCHEDULING = {
    **dict.fromkeys(("automaticRestart", "preemptible", "exposeHostTopology", "skipGuestOsShutdown"), "boolean"),
    **dict.fromkeys(("availabilityDomain", "hostErrorTimeoutSeconds", "minNodeCpus"), "integer"),
    **dict.fromkeys(("locationHint", "terminationTime"), "string"),
    **dict.fromkeys(
        (
            "gracefulShutdown",
            "localSsdRecoveryTimeout",
            "nodeAffinities",
            "onInstanceStopAction",
            "preemptionNoticeDuration",
        ),
        "any",
    ),
    "maxRunDuration": {"seconds": "integer or its text", "nanos": "integer"},
    "instanceTerminationAction": ("DELETE", "INSTANCE_TERMINATION_ACTION_UNSPECIFIED", "STOP"),
    "onHostMaintenance": ("MIGRATE", "TERMINATE"),
    "protectionTier": ("PROTECTION_TIER_CAPACITY_OPTIMIZED", "PROTECTION_TIER_STANDARD", "PROTECTION_TIER_UNSPECIFIED"),
    "provisioningModel": ("FLEX_START", "RESERVATION_BOUND", "SPOT", "STANDARD"),
}

_GCP_DISK = {
    **dict.fromkeys(("autoDelete", "boot", "forceAttach"), "boolean"),
    **dict.fromkeys(("architecture", "deviceName", "interface", "kind", "mode", "savedState", "source"), "string"),
    **dict.fromkeys(("diskEncryptionKey", "guestOsFeatures", "licenses", "shieldedInstanceInitialState"), "any"),
    "type": ("PERSISTENT", "SCRATCH"),
    "index": "integer",
    "diskSizeGb": "integer or its text",
    "initializeParams": {
        **dict.fromkeys(
            (
                "architecture",
                "description",
                "diskName",
                "diskType",
                "onUpdateAction",
                "sourceImage",
                "sourceSnapshot",
                "storagePool",
            ),
            "string",
        ),
        **dict.fromkeys(("diskSizeGb", "provisionedIops", "provisionedThroughput"), "integer or its text"),
        **dict.fromkeys(("labels", "licenses", "replicaZones", "resourceManagerTags", "resourcePolicies"), "any"),
        **dict.fromkeys(("sourceImageEncryptionKey", "sourceSnapshotEncryptionKey"), "any"),
        "enableConfidentialCompute": "boolean",
    },
}

GCP = {
    **dict.fromkeys(("canIpForward", "deletionProtection"), "boolean"),
    **dict.fromkeys(
        ("description", "hostname", "machineType", "minCpuPlatform", "name", "sourceMachineImage", "zone"), "string"
    ),
    **dict.fromkeys(
        (
            *(
                "advancedMachineFeatures",
                "confidentialInstanceConfig",
                "displayDevice",
                "instanceEncryptionKey",
                "keyRevocationActionType",
            ),
            *(
                "labels",
                "metadata",
                "networkInterfaces",
                "networkPerformanceConfig",
                "params",
                "privateIpv6GoogleAccess",
                "reservationAffinity",
            ),
            *(
                "resourcePolicies",
                "serviceAccounts",
                "shieldedInstanceConfig",
                "shieldedInstanceIntegrityPolicy",
                "tags",
            ),
            *("localSsdEncryptionMode", "sourceMachineImageEncryptionKey", "workloadIdentityConfig"),
        ),
        "any",
    ),
    "guestAccelerators": [{"acceleratorType": "string", "acceleratorCount": "integer"}],
    "disks": [_GCP_DISK],
    "scheduling": _GCP_SCHEDULING,
}
