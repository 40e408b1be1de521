import HTTP
import ObjectStore
import Platform

/// The readers of what places that give credentials answer, of AWS's files and of tokens.
func credentialsDecoders() -> [Decoder] {
  let seeds = [
    "{\"Version\":1,\"Code\":\"Success\",\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Token\":\"c\",\"Expiration\":\"2999-11-24T04:42:54+01:00\"}",
    "{\"roleCredentials\":{\"accessKeyId\":\"a\",\"secretAccessKey\":\"b\",\"sessionToken\":\"c\",\"expiration\":32472144000000}}",
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey><SessionToken>c</SessionToken><Expiration>2999-11-24T04:42:54Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    "[default]\nsource_profile = a # x\nrole_arn = r\n[profile a]\nrole_arn = s\nsource_profile = \"b\"\n[sso-session t]\nsso_region=x\n[profile b]\ncredential_process = \"a b\" 'c' \\d\n",
    "{\"accessToken\":\"a\",\"expiresAt\":\"2999-11-24T04:42:54UTC\"}",
  ]
  return [
    Decoder(
      name: "credentials", share: 60, seeds: seeds.map { Array($0.utf8) }, isText: true,
      // The first byte says who answers: answers of others are among them.
      wrap: { bytes, mutator in [UInt8(mutator.below(256))] + bytes },
      read: { input in
        let kind = Int((input.first ?? 0) % 6)
        let found = try await chain(kind, Array(input.dropFirst())).find()
        let keys = found.credentials
        guard !keys.accessKey.isEmpty, !keys.secretKey.isEmpty,
          [keys.accessKey, keys.secretKey, keys.sessionToken ?? ""].allSatisfy({
            $0.utf8.allSatisfy { (32...126).contains($0) }
          })
        else { throw Broken(rule: "credentials fit into a header") }
      })
  ]
}

/// A machine on which one place has these bytes: the container's agent, the instance, the token service, the portal, the program, the files.
private func chain(_ kind: Int, _ bytes: [UInt8]) -> CredentialsChain {
  let profiles = [
    "", "", "role_arn = r\ncredential_source = Environment\n",
    "sso_region = x\nsso_account_id = 1\nsso_role_name = r\nsso_start_url = u\n", "credential_process = x\n",
    "",
  ]
  var variables = [["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"], [:], [:], [:], [:], [:]][kind]
  variables["HOME"] = "/home"
  if kind >= 2 {
    variables["AWS_PROFILE"] = "default"
    variables["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
  }
  var surroundings = CredentialsSurroundings(variables: variables)
  surroundings.read = { path in
    if path.hasSuffix(".json") {
      return Array("{\"accessToken\":\"a\",\"expiresAt\":\"2999-11-24T04:42:54Z\"}".utf8)
    }
    return kind == 5 ? bytes : Array("[default]\n\(profiles[kind])".utf8)
  }
  surroundings.run = { _ in bytes }
  surroundings.sleep = { _ in }
  let service = Answering(bytes: bytes)
  surroundings.network = { service }
  surroundings.machine = { service }
  if kind == 2 {
    surroundings.variables["AWS_ACCESS_KEY_ID"] = "a"
    surroundings.variables["AWS_SECRET_ACCESS_KEY"] = "b"
    return CredentialsChain([ProfileCredentials(surroundings)])
  }
  return CredentialsChain.standard(for: .amazon, region: "x", surroundings)
}

/// A service that gives one answer to whatever it is asked.
private struct Answering: HTTPTransport {
  let bytes: [UInt8]
  func send(_ request: HTTPRequest) async throws -> HTTPResponse { HTTPResponse(status: 200, body: bytes) }
}
