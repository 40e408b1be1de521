/// What to do where a certificate is not taken, by the words of libcurl and OpenSSL for it.
enum CertificateText {
  /// A sentence without its full stop.
  static func cure(of reason: String) -> String {
    let reason = reason.lowercased()
    func says(_ words: String...) -> Bool { words.contains { reason.contains($0) } }
    if says("alert certificate required", "alert handshake failure") {
      return "The server asks for a client certificate: name one by client_certificate and client_key"
    }
    if says(
      "alert bad certificate", "alert unknown ca", "alert certificate expired",
      "alert certificate unknown", "alert unsupported certificate")
    {
      return
        "The server does not take the client's certificate: check client_certificate and client_key, when it ends, and whether the server trusts its authority"
    }
    if says("issuer certificate", "self-signed", "self signed", "unable to verify the first") {
      return
        "Its certificate comes from an authority that is not trusted here: give that authority's certificate by --ca-file or ca_file"
    }
    if says("certificate has expired") {
      return "Renew the server's certificate, or set this machine's clock where that is wrong"
    }
    if says("not yet valid") { return "Set this machine's clock, or wait until the certificate is valid" }
    if says("subject name", "host name", "hostname", "ip address") {
      return "The certificate is for another name: write the endpoint with a name that it is for"
    }
    let ofAuthorities = [
      "setting certificate", "verify locations", "ca cert", "cafile", "ca-bundle", "adding trust anchors",
    ]
    if ofAuthorities.contains(where: reason.contains) {
      return "Check ca_file (--ca-file, AWS_CA_BUNDLE): it must hold certificates as PEM"
    }
    if says("client certificate", "private key", "key file", "pem") {
      return
        "Check client_certificate and client_key: both PEM, the key that of the certificate and without a passphrase"
    }
    return "Check the server's certificate and ca_file"
  }
}

/// A sentence that a command has for an error that it alone knows how to cure.
struct Advice: Error {
  let text: ErrorText
}
