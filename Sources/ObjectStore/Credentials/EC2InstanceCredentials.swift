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
