extension S3Settings {
  /// Whose service it is, which decides where else credentials are looked for.
  public enum Cloud: Sendable {
    /// Amazon S3.
    case amazon
    /// Alibaba Cloud's OSS.
    case alibaba
    /// Any other server.
    case other
  }

  /// Whose service the endpoint is, by its name.
  public var cloud: Cloud {
    endpoint.isAmazon ? .amazon : endpoint.isAlibaba ? .alibaba : .other
  }
}

extension CredentialsChain {
  /// Everywhere where credentials are looked for when nobody names a place, in the order of AWS's tools
  /// (docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html; docs.aws.amazon.com/sdk-for-php/v3/developer-guide/guide_credentials_default_chain.html):
  /// variables, web identity, the profile, the container, the instance.
  ///
  /// Variables of Alibaba Cloud's tools and its instances' roles count at its own endpoints only, those of MinIO at endpoints that are
  /// neither's. EC2's metadata service is asked at Amazon's endpoints, and elsewhere where `AWS_EC2_METADATA_SERVICE_ENDPOINT` names it:
  /// no other server takes what it gives, and no other machine shall wait for it.
  public static func standard(
    for cloud: S3Settings.Cloud, region: String, _ surroundings: CredentialsSurroundings
  ) -> CredentialsChain {
    let variables = surroundings.variables
    var sources: [any CredentialsSource] = [EnvironmentCredentials(environment: variables)]
    switch cloud {
    case .amazon: break
    case .alibaba: sources += EnvironmentCredentials.alibaba(variables)
    case .other: sources += EnvironmentCredentials.minio(variables)
    }
    sources += [
      EnvironmentWebIdentity(region: region, surroundings: surroundings),
      ProfileCredentials(region: region, surroundings), ContainerCredentials(surroundings),
    ]
    if cloud == .alibaba {
      sources.append(AlibabaInstanceCredentials(surroundings))
    } else if cloud == .amazon || surroundings.value("AWS_EC2_METADATA_SERVICE_ENDPOINT") != nil {
      sources.append(EC2InstanceCredentials(surroundings))
    }
    return CredentialsChain(sources)
  }
}
