import HTTP

/// Credentials of the role of an EC2 instance, from its metadata service, version 2
/// (docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html).
struct EC2InstanceCredentials: CredentialsSource {
  private let surroundings: CredentialsSurroundings

  init(_ surroundings: CredentialsSurroundings) { self.surroundings = surroundings }

  func find() async throws -> FoundCredentials {
    let name = "the EC2 metadata service"
    if surroundings.isTrue("AWS_EC2_METADATA_DISABLED") {
      throw CredentialsError.missing(looked: ["\(name) (AWS_EC2_METADATA_DISABLED)"])
    }
    let isIPv6 = surroundings.value("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")?.lowercased() == "ipv6"
    let url =
      surroundings.value("AWS_EC2_METADATA_SERVICE_ENDPOINT")
      ?? (isIPv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254")
    guard let endpoint = Endpoint(url) else {
      throw CredentialsError.failed(
        place: "AWS_EC2_METADATA_SERVICE_ENDPOINT", reason: "\(url.debugDescription) is no address",
        cure: "It must be http://HOST[:PORT]")
    }
    return try await MetadataService(
      name: name, url: endpoint.url, rolesPath: "/latest/meta-data/iam/security-credentials/",
      header: "X-aws-ec2-metadata-token", owner: "this EC2 instance", surroundings: surroundings
    ).credentials(of: nil, withoutToken: false)
  }
}

/// Credentials of the RAM role of an instance of Alibaba Cloud's ECS, from its metadata service, in the hardened mode where it has one
/// (alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata; variables as in github.com/aliyun/credentials-go).
struct AlibabaInstanceCredentials: CredentialsSource {
  private let surroundings: CredentialsSurroundings

  init(_ surroundings: CredentialsSurroundings) { self.surroundings = surroundings }

  func find() async throws -> FoundCredentials {
    let name = "the metadata service of Alibaba Cloud ECS"
    if surroundings.isTrue("ALIBABA_CLOUD_ECS_METADATA_DISABLED") {
      throw CredentialsError.missing(looked: ["\(name) (ALIBABA_CLOUD_ECS_METADATA_DISABLED)"])
    }
    return try await MetadataService(
      name: name, url: "http://100.100.100.200", rolesPath: "/latest/meta-data/ram/security-credentials/",
      header: "X-aliyun-ecs-metadata-token", owner: "this ECS instance", surroundings: surroundings
    ).credentials(
      of: surroundings.value("ALIBABA_CLOUD_ECS_METADATA"),
      withoutToken: !surroundings.isTrue("ALIBABA_CLOUD_IMDSV1_DISABLED"))
  }
}
