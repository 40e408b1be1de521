import Checkpoints
import Commands
import ObjectStore
import Platform
import Repository

/// One reader of bytes from outside: what it is fed with, and how it is called.
struct Decoder {
  let name: String
  /// How many of a thousand inputs it gets.
  let share: Int
  let seeds: [[UInt8]]
  let isText: Bool
  /// Puts the changed bytes into what they travel in, such as gzip.
  var wrap: ([UInt8], inout Mutator) throws -> [UInt8] = { bytes, _ in bytes }
  /// Inputs that are made to cost more than they weigh; the first ones are of them, and one in ten thousand.
  var bombs: [() throws -> [UInt8]] = []
  /// Reads the bytes. Throws what the reader throws, or `Broken`.
  let read: ([UInt8]) async throws -> Void

  /// The input of a number in a run: the same for ever.
  func input(seed: UInt64, index: UInt64) throws -> [UInt8] {
    var mutator = Mutator(seed: seed &* 0x9e37_79b9_7f4a_7c15 ^ index &* 0xd1b5_4a32_d192_ed03)
    if index < bombs.count { return try bombs[Int(index)]() }
    if !bombs.isEmpty, mutator.oneIn(10_000) { return try mutator.pick(bombs)() }
    return try wrap(mutator.mutate(seeds, isText: isText), &mutator)
  }
}

/// A value that was accepted and does not hold what it must.
struct Broken: Error {
  let rule: String
}

/// Whether an error is one of those that the readers are declared to throw.
func isTyped(_ error: any Error) -> Bool {
  error is FormatError || error is StoreError || error is SystemError || error is JSONError
    || error is SafetensorsDefect || error is TorchZipDefect || error is RelativePath.Invalid
    || error is ConfigurationError || error is CredentialsError || error is DecodingError
    || error is PickleError
}
