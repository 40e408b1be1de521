/// Credentials from environment variables.
public struct EnvironmentCredentials: CredentialsSource {
  private let environment: [String: String]
  private let accessKey: String
  private let secretKey: String
  private let sessionToken: String?

  /// A source over an environment; the names are AWS's unless given.
  public init(
    environment: [String: String], accessKey: String = "AWS_ACCESS_KEY_ID",
    secretKey: String = "AWS_SECRET_ACCESS_KEY", sessionToken: String? = "AWS_SESSION_TOKEN"
  ) {
    self.environment = environment
    self.accessKey = accessKey
    self.secretKey = secretKey
    self.sessionToken = sessionToken
  }

  /// Those of Alibaba Cloud's tools: `OSS_…` as its OSS SDKs and ossutil read them (alibabacloud.com/help/en/oss/developer-reference,
  /// Configure access credentials), `ALIBABA_CLOUD_…` as its other SDKs do (github.com/aliyun/credentials-go).
  static func alibaba(_ environment: [String: String]) -> [EnvironmentCredentials] {
    [
      EnvironmentCredentials(
        environment: environment, accessKey: "OSS_ACCESS_KEY_ID", secretKey: "OSS_ACCESS_KEY_SECRET",
        sessionToken: "OSS_SESSION_TOKEN"),
      EnvironmentCredentials(
        environment: environment, accessKey: "ALIBABA_CLOUD_ACCESS_KEY_ID",
        secretKey: "ALIBABA_CLOUD_ACCESS_KEY_SECRET", sessionToken: "ALIBABA_CLOUD_SECURITY_TOKEN"),
    ]
  }

  /// Those of MinIO, in the order in which its client library reads them (github.com/minio/minio-go, pkg/credentials/env_minio.go).
  static func minio(_ environment: [String: String]) -> [EnvironmentCredentials] {
    [
      EnvironmentCredentials(
        environment: environment, accessKey: "MINIO_ROOT_USER", secretKey: "MINIO_ROOT_PASSWORD",
        sessionToken: nil),
      EnvironmentCredentials(
        environment: environment, accessKey: "MINIO_ACCESS_KEY", secretKey: "MINIO_SECRET_KEY",
        sessionToken: nil),
    ]
  }

  /// The credentials. Throws `.missing` where neither half is set, `.incomplete` where one is.
  public func find() async throws -> FoundCredentials {
    let place = "the environment variables \(accessKey) and \(secretKey)"
    switch (value(accessKey), value(secretKey)) {
    case (let access?, let secret?):
      return try FoundCredentials.checked(
        CredentialsFields(
          accessKey: access, secretKey: secret, sessionToken: sessionToken.flatMap(value), expires: nil),
        of: CredentialsPlace(name: place, cure: "Set them again"), origin: place)
    case (nil, nil): throw CredentialsError.missing(looked: [accessKey])
    case (nil, _): throw CredentialsError.incomplete(place: place, lacking: accessKey)
    case (_, nil): throw CredentialsError.incomplete(place: place, lacking: secretKey)
    }
  }

  private func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
}
