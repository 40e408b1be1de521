import CCurl
import Glibc

extension Transfer {
  /// Prepares a fresh or reset easy handle for this transfer, which must stay alive and in place while the handle runs.
  func configure(_ easy: UnsafeMutableRawPointer, _ options: HTTPOptions) {
    headerLimit = options.headerLimit
    errorBodyLimit = options.errorBodyLimit
    let user = Unmanaged.passUnretained(self).toOpaque()
    ck_curl_set_pointer(easy, CURLOPT_ERRORBUFFER, words)
    ck_curl_set_string(easy, CURLOPT_URL, request.url)
    setTransport(easy, options)
    setProxy(easy, options)
    setTrust(easy, options)
    setMethod(easy, user)
    setHeaders(easy)
    ck_curl_set_io(easy, CURLOPT_WRITEFUNCTION, writeBody)
    ck_curl_set_pointer(easy, CURLOPT_WRITEDATA, user)
    ck_curl_set_io(easy, CURLOPT_HEADERFUNCTION, writeHeader)
    ck_curl_set_pointer(easy, CURLOPT_HEADERDATA, user)
  }

  private func setTransport(_ easy: UnsafeMutableRawPointer, _ options: HTTPOptions) {
    ck_curl_set_string(easy, CURLOPT_PROTOCOLS_STR, "http,https")
    ck_curl_set_long(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
    ck_curl_set_long(easy, CURLOPT_FOLLOWLOCATION, 0)
    // Keys may look like relative paths; the path that was signed is the path that is sent.
    ck_curl_set_long(easy, CURLOPT_PATH_AS_IS, 1)
    ck_curl_set_long(easy, CURLOPT_NOSIGNAL, 1)
    ck_curl_set_long(easy, CURLOPT_TCP_NODELAY, 1)
    ck_curl_set_long(easy, CURLOPT_TCP_KEEPALIVE, 1)
    // Without it, taking a handle away waits for its name look-up to end.
    ck_curl_set_long(easy, CURLOPT_QUICK_EXIT, 1)
    ck_curl_set_long(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    ck_curl_set_long(easy, CURLOPT_BUFFERSIZE, options.bufferSize)
    ck_curl_set_long(easy, CURLOPT_UPLOAD_BUFFERSIZE, options.bufferSize)
    ck_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, max(1, Int(options.connectSeconds * 1000)))
    ck_curl_set_long(easy, CURLOPT_TIMEOUT, options.totalSeconds)
    ck_curl_set_long(easy, CURLOPT_LOW_SPEED_LIMIT, 1)
    ck_curl_set_long(easy, CURLOPT_LOW_SPEED_TIME, options.stallSeconds)
    ck_curl_set_offset(easy, CURLOPT_MAX_SEND_SPEED_LARGE, curl_off_t(options.mostSent))
    ck_curl_set_offset(easy, CURLOPT_MAX_RECV_SPEED_LARGE, curl_off_t(options.mostReceived))
    ck_curl_set_string(easy, CURLOPT_USERAGENT, options.userAgent)
  }

  private func setProxy(_ easy: UnsafeMutableRawPointer, _ options: HTTPOptions) {
    if !options.usesProxies {
      ck_curl_set_string(easy, CURLOPT_PROXY, "")
    } else if request.url.lowercased().hasPrefix("http://"), getenv("http_proxy") == nil,
      let proxy = getenv("HTTP_PROXY")
    {
      // libcurl leaves this one alone, since in a CGI program it is a field of the request; here the user has set it.
      ck_curl_set_string(easy, CURLOPT_PROXY, String(cString: proxy))
    }
  }

  private func setTrust(_ easy: UnsafeMutableRawPointer, _ options: HTTPOptions) {
    if let file = options.caFile { ck_curl_set_string(easy, CURLOPT_CAINFO, file) }
    if let certificate = options.clientCertificate {
      ck_curl_set_string(easy, CURLOPT_SSLCERT, certificate)
      ck_curl_set_string(easy, CURLOPT_SSLKEY, options.clientKey ?? certificate)
      // Without it OpenSSL would ask for the passphrase of a key that has one on the terminal.
      ck_curl_set_string(easy, CURLOPT_KEYPASSWD, "")
    }
    ck_curl_set_long(easy, CURLOPT_SSL_VERIFYPEER, options.verifyTLS ? 1 : 0)
    ck_curl_set_long(easy, CURLOPT_SSL_VERIFYHOST, options.verifyTLS ? 2 : 0)
  }

  private func setMethod(_ easy: UnsafeMutableRawPointer, _ user: UnsafeMutableRawPointer) {
    let sendsBody = request.method == "PUT" || request.method == "POST" || request.body.count > 0
    switch request.method {
    case "GET" where !sendsBody: ck_curl_set_long(easy, CURLOPT_HTTPGET, 1)
    case "HEAD": ck_curl_set_long(easy, CURLOPT_NOBODY, 1)
    case "PUT": break
    default: ck_curl_set_string(easy, CURLOPT_CUSTOMREQUEST, request.method)
    }
    guard sendsBody else { return }
    ck_curl_set_long(easy, CURLOPT_UPLOAD, 1)
    ck_curl_set_offset(easy, CURLOPT_INFILESIZE_LARGE, curl_off_t(request.body.count))
    ck_curl_set_io(easy, CURLOPT_READFUNCTION, readBody)
    ck_curl_set_pointer(easy, CURLOPT_READDATA, user)
    // A request on a kept connection that turns out to be dead is sent again from its start.
    ck_curl_set_seek(easy, seekBody)
    ck_curl_set_pointer(easy, CURLOPT_SEEKDATA, user)
  }

  private func setHeaders(_ easy: UnsafeMutableRawPointer) {
    for field in request.headers {
      // libcurl reads `Name:` as "leave the field out" and `Name;` as a field without a value.
      let line = field.value.isEmpty ? "\(field.name);" : "\(field.name): \(field.value)"
      headerList = curl_slist_append(headerList, line)
    }
    headerList = curl_slist_append(headerList, "Expect:")
    ck_curl_set_list(easy, CURLOPT_HTTPHEADER, headerList)
  }
}

private func transfer(_ user: UnsafeMutableRawPointer?) -> Transfer? {
  user.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
}

private func readBody(
  _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ user: UnsafeMutableRawPointer?
) -> Int {
  guard let transfer = transfer(user) else { return Int(CURL_READFUNC_ABORT) }
  return transfer.read(into: UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
}

private func seekBody(_ user: UnsafeMutableRawPointer?, _ offset: curl_off_t, _ origin: Int32) -> Int32 {
  guard origin == SEEK_SET, let transfer = transfer(user) else { return CURL_SEEKFUNC_FAIL }
  return transfer.seek(to: Int(offset)) ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL
}

/// Fewer bytes than were given tell libcurl to end the transfer.
private func writeBody(
  _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ user: UnsafeMutableRawPointer?
) -> Int {
  guard let transfer = transfer(user) else { return 0 }
  return transfer.write(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
}

private func writeHeader(
  _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ user: UnsafeMutableRawPointer?
) -> Int {
  guard let transfer = transfer(user) else { return 0 }
  return transfer.header(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
}
