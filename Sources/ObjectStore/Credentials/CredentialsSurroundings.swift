import Glibc
import HTTP
import Platform

/// What sources of credentials use of the machine and the network, so that tests decide it.
public struct CredentialsSurroundings: Sendable {
  /// The environment variables.
  public var variables: [String: String]
  /// The bytes of a file of at most 1 MiB, or nil where it is not there. Throws `SystemError`.
  public var read: @Sendable (String) async throws -> [UInt8]? = readSmallFile
  /// What a program with its arguments writes, or nil where it fails.
  public var run: @Sendable ([String]) async throws -> [UInt8]? = outputOfProgram
  /// This machine's clock.
  public var clock: @Sendable () -> Timestamp = { Timestamp.now() }
  /// Waits so many seconds; throws where the task is cancelled.
  public var sleep: @Sendable (Double) async throws -> Void = { try await Task.sleep(for: .seconds($0)) }
  /// A client for services on the network: through the proxies that the environment names.
  public var network: @Sendable () -> any HTTPTransport
  /// A client for services of this machine, which are on the link or on it: never through a proxy, and soon given up.
  public var machine: @Sendable () -> any HTTPTransport

  /// The process's own with these variables; `AWS_CA_BUNDLE` names certificates for services on the network.
  public init(variables: [String: String]) {
    self.variables = variables
    var network = HTTPOptions()
    network.connections = 1
    network.stallSeconds = 20
    network.totalSeconds = 60
    network.caFile = variables["AWS_CA_BUNDLE"].flatMap { $0.isEmpty ? nil : $0 }
    var machine = network
    machine.usesProxies = false
    // Where there is no such service, packets to its address often vanish; a laptop must not wait for them.
    machine.connectSeconds = 1
    machine.stallSeconds = 5
    machine.totalSeconds = 10
    self.network = { [network] in HTTPClient(network) }
    self.machine = { [machine] in HTTPClient(machine) }
  }

  /// A variable that is set and not empty.
  func value(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
  /// Whether a variable says `true`, in any case.
  func isTrue(_ name: String) -> Bool { variables[name]?.lowercased() == "true" }

  /// A path with `~/` for the home directory.
  func expanded(_ path: String) -> String {
    guard path.hasPrefix("~/"), let home = value("HOME") else { return path }
    return home + path.dropFirst()
  }

  /// A file of the home directory, or nil where that is not known.
  func home(_ path: String) -> String? { value("HOME").map { "\($0)/\(path)" } }

  /// The text of a file that must be there. Throws `CredentialsError.unreadable`.
  func text(of path: String) async throws -> String {
    do {
      guard let bytes = try await read(path) else {
        throw CredentialsError.unreadable(path: path, reason: "it is not there")
      }
      return String(decoding: bytes, as: UTF8.self)
    } catch let error as SystemError {
      throw CredentialsError.unreadable(path: path, reason: error.reason)
    }
  }
}

/// The bytes of a file of at most 1 MiB, or nil where it is not there. Throws `SystemError`.
@Sendable
public func readSmallFile(_ path: String) async throws -> [UInt8]? {
  try await BlockingPool(threads: 1).run { try smallFile(path) }
}

/// The same for a caller that may block.
func smallFile(_ path: String) throws -> [UInt8]? {
  do {
    let file = try OpenFile(path)
    guard file.size <= 1 << 20 else { throw SystemError(operation: "read", path: path, code: EFBIG) }
    return try file.bytes(at: 0, count: file.size)
  } catch let error as SystemError where error.isMissing {
    return nil
  }
}

/// What a program writes within a minute and 64 KiB, or nil where it fails. Its errors are dropped: they may hold secrets.
@Sendable
public func outputOfProgram(_ words: [String]) async throws -> [UInt8]? {
  try await BlockingPool(threads: 1).run { programOutput(words, seconds: 60, limit: 64 << 10) }
}
