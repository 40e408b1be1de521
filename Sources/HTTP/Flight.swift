import CCurl

/// The transfers in flight and the easy handles that wait to be used again. It lives on the loop's thread.
struct Flight {
  let multi: UnsafeMutableRawPointer
  let options: HTTPOptions
  private var active: [UnsafeMutableRawPointer: Transfer] = [:]
  private var idle: [UnsafeMutableRawPointer] = []

  init(multi: UnsafeMutableRawPointer, options: HTTPOptions) {
    self.multi = multi
    self.options = options
  }

  mutating func start(_ transfer: Transfer) {
    if transfer.isCancelled.load(ordering: .sequentiallyConsistent) {
      finish(transfer, .failure(CancellationError()))
      return
    }
    guard let easy = idle.popLast() ?? curl_easy_init() else {
      finish(
        transfer, .failure(HTTPError.other(code: Int(CURLE_OUT_OF_MEMORY.rawValue), reason: "out of memory")))
      return
    }
    transfer.configure(easy, options)
    transfer.easy = easy
    active[easy] = transfer
    let code = curl_multi_add_handle(multi, easy)
    if code != CURLM_OK {
      let reason = String(cString: curl_multi_strerror(code))
      finish(transfer, .failure(HTTPError.other(code: Int(code.rawValue), reason: reason)))
    }
  }

  /// Takes a transfer off the wire and answers its caller. A transfer that has its answer already is left alone.
  mutating func finish(_ transfer: Transfer, _ result: Result<HTTPResponse, any Error>) {
    if let easy = transfer.easy {
      curl_multi_remove_handle(multi, easy)
      curl_easy_reset(easy)
      idle.append(easy)
      active[easy] = nil
      transfer.easy = nil
    }
    curl_slist_free_all(transfer.headerList)
    transfer.headerList = nil
    let continuation = transfer.continuation
    transfer.continuation = nil
    continuation?.resume(with: result)
  }

  /// Moves bytes, answers what is done, and sleeps until there is more to do, for a second at most.
  mutating func perform() {
    var running: Int32 = 0
    curl_multi_perform(multi, &running)
    var left: Int32 = 0
    var isAnyDone = false
    while let message = curl_multi_info_read(multi, &left) {
      guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle,
        let transfer = active[easy]
      else { continue }
      isAnyDone = true
      finish(transfer, transfer.result(ck_curl_result(message)))
    }
    // A transfer that ended makes room for one that waits for a connection: look before sleeping.
    if !isAnyDone { curl_multi_poll(multi, nil, 0, 1000, nil) }
  }

  /// Ends everything.
  mutating func close() {
    for transfer in active.values { finish(transfer, .failure(HTTPError.closed)) }
    for easy in idle { curl_easy_cleanup(easy) }
    idle = []
  }
}

extension Transfer {
  /// What came of the transfer that ended with a code of libcurl's.
  fileprivate func result(_ code: CURLcode) -> Result<HTTPResponse, any Error> {
    guard code == CURLE_OK else { return .failure(error(code)) }
    guard isHeaderComplete else {
      return .failure(HTTPError.interrupted(reason: "the connection was closed within the answer's header"))
    }
    return .success(response)
  }

  /// What libcurl's code means (curl.se/libcurl/c/libcurl-errors.html).
  func error(_ code: CURLcode) -> any Error {
    if let failure { return failure }
    let said = String(cString: words)
    let reason = said.isEmpty ? String(cString: curl_easy_strerror(code)) : said
    if Self.certificateAlerts.contains(where: reason.contains) {
      return HTTPError.certificate(reason: reason)
    }
    switch code {
    // It is also the code for an answer that is no HTTP/1.
    case CURLE_UNSUPPORTED_PROTOCOL where isConnected: return HTTPError.interrupted(reason: reason)
    case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: return HTTPError.invalidRequest(reason: reason)
    case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: return HTTPError.resolve(reason: reason)
    case CURLE_COULDNT_CONNECT, CURLE_PROXY: return HTTPError.connect(reason: reason)
    case CURLE_OPERATION_TIMEDOUT:
      return isConnected ? HTTPError.stalled(reason: reason) : HTTPError.connect(reason: reason)
    case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
      CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS:
      return HTTPError.certificate(reason: reason)
    case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CIPHER: return HTTPError.tls(reason: reason)
    case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_SEND_FAIL_REWIND,
      CURLE_WEIRD_SERVER_REPLY:
      return HTTPError.interrupted(reason: reason)
    default: return HTTPError.other(code: Int(code.rawValue), reason: reason)
    }
  }

  /// OpenSSL's words for what a server says that does not take the client's certificate, in TLS 1.3 only after the handshake
  /// (RFC 8446, section 6.2).
  private static let certificateAlerts = [
    "alert certificate required", "alert bad certificate", "alert unknown ca", "alert certificate expired",
    "alert certificate unknown", "alert unsupported certificate",
  ]

  /// Whether a connection, TLS included, stood when the transfer ended.
  private var isConnected: Bool {
    guard let easy else { return false }
    var ready: curl_off_t = 0
    ck_curl_get_time(easy, CURLINFO_PRETRANSFER_TIME_T, &ready)
    return ready > 0
  }
}
