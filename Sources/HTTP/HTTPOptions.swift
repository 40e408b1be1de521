/// How a client connects and when it gives up.
public struct HTTPOptions: Sendable {
  /// Connections to one host at most; further requests wait for one.
  public var connections = 8
  /// Seconds until a connection, TLS included, must stand.
  public var connectSeconds = 10.0
  /// Seconds without a single byte in either direction after which a transfer is given up.
  public var stallSeconds = 60
  /// Seconds that a whole request may take; 0 for as many as it does, as long as bytes come.
  public var totalSeconds = 0
  /// A file of certificates (PEM) to trust instead of the system's; nil for the system's.
  public var caFile: String?
  /// Files (PEM) with the certificate, and with its key, that prove to servers who this is; nil for none. A key without a file of its
  /// own is in the certificate's, and no key has a passphrase.
  public var clientCertificate: String?, clientKey: String?
  /// Whether servers must prove who they are. False only where a user said so in so many words.
  public var verifyTLS = true
  /// Whether requests go through the proxies that the environment names: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in
  /// small letters too, as libcurl reads them (curl.se/libcurl/c/CURLOPT_PROXY.html).
  public var usesProxies = true
  /// Bytes a second that one request may send, or receive, at most; 0 for as many as go.
  public var mostSent = 0, mostReceived = 0
  /// The `User-Agent` field.
  public var userAgent = "ckbackup"
  /// Bytes of an answer's header at most.
  public var headerLimit = 64 << 10
  /// Bytes of the body of an unsuccessful answer that are kept; the rest is left out, and from 16 times as many on it is an error.
  public var errorBodyLimit = 64 << 10
  /// The size of libcurl's buffer in each direction, 16 KiB to 512 KiB. Larger means fewer calls for the same bytes.
  public var bufferSize = 512 << 10

  /// The defaults.
  public init() {}
}
