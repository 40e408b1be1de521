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
