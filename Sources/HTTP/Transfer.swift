import CCurl
import Glibc
import Platform
import Synchronization

/// One request on its way.
///
/// Sendable because whoever made it gives it to the loop and touches it no more; from then on the loop's thread alone uses it
/// (libcurl calls back on that thread only), except for `isCancelled`, which is atomic.
final class Transfer: @unchecked Sendable {
  let request: HTTPRequest
  let isCancelled = Atomic<Bool>(false)
  /// The easy handle that carries it, while the loop has it in flight.
  var easy: UnsafeMutableRawPointer?
  var headerList: UnsafeMutablePointer<curl_slist>?
  var continuation: CheckedContinuation<HTTPResponse, any Error>?
  var headerLimit = 0
  var errorBodyLimit = 0
  /// The error of a callback that refused to go on; it says more than libcurl's own.
  var failure: HTTPError?
  /// libcurl's words for an error.
  let words = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

  private(set) var response = HTTPResponse(status: 0)
  /// Whether the empty line came that ends a header. libcurl takes a connection that closes within the header for an answer without
  /// a body.
  private(set) var isHeaderComplete = false
  private let traffic: Traffic
  private var headerBytes = 0
  /// Where the next byte to send lies: a slice of the body and an offset in it.
  private var slice = 0
  private var offset = 0

  init(_ request: HTTPRequest, _ traffic: Traffic) {
    self.request = request
    self.traffic = traffic
    words.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
  }

  deinit { words.deallocate() }

  /// Copies the next bytes of the body out and returns how many; 0 at its end.
  func read(into target: UnsafeMutableRawBufferPointer) -> Int {
    let slices = request.body.slices
    var copied = 0
    while copied < target.count, slice < slices.count {
      let count = min(slices[slice].count - offset, target.count - copied)
      slices[slice].withBytes { bytes in
        UnsafeMutableRawBufferPointer(rebasing: target[copied..<copied + count]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
      }
      copied += count
      offset += count
      if offset == slices[slice].count {
        slice += 1
        offset = 0
      }
    }
    traffic.sent.add(copied, ordering: .relaxed)
    return copied
  }

  /// Makes byte `position` of the body the next one to send. False where there is no such place.
  func seek(to position: Int) -> Bool {
    guard position >= 0, position <= request.body.count else { return false }
    slice = 0
    offset = position
    while slice < request.body.slices.count, offset >= request.body.slices[slice].count {
      offset -= request.body.slices[slice].count
      slice += 1
    }
    return true
  }

  /// Takes bytes of the answer's body. False ends the transfer.
  func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
    traffic.received.add(bytes.count, ordering: .relaxed)
    guard response.isSuccess else {
      // What is left out is still read, so that the connection can be used again, but not without end.
      let limit = 16 * errorBodyLimit
      guard bytes.count <= limit - response.received else { return fail(.bodyTooLarge(limit: limit)) }
      response.body.append(contentsOf: bytes.prefix(errorBodyLimit - response.body.count))
      response.received += bytes.count
      return true
    }
    switch request.sink {
    case .memory(let limit):
      guard bytes.count <= limit - response.body.count else { return fail(.bodyTooLarge(limit: limit)) }
      response.body.append(contentsOf: bytes)
    case .buffer(let target):
      guard bytes.count <= target.count - response.received else {
        return fail(.bodyTooLarge(limit: target.count))
      }
      target.write(bytes, at: response.received)
    }
    response.received += bytes.count
    return true
  }

  /// Takes a line of the answer's header. A status line begins a new header: an interim answer's fields are forgotten.
  func header(_ line: UnsafeRawBufferPointer) -> Bool {
    headerBytes += line.count
    guard headerBytes <= headerLimit else { return fail(.headersTooLarge(limit: headerLimit)) }
    if line.starts(with: "HTTP/".utf8) {
      let text = line.split(separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: true)
      let digits = text.count > 1 ? String(decoding: text[1].prefix(3), as: UTF8.self) : ""
      response = HTTPResponse(status: Int(digits) ?? 0)
      isHeaderComplete = false
    } else if line.allSatisfy({ $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\n") }) {
      isHeaderComplete = true
    } else {
      response.headers.append(line: line)
    }
    return true
  }

  private func fail(_ error: HTTPError) -> Bool {
    failure = error
    return false
  }
}
