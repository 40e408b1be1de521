import Glibc
import Platform

/// What a worker tells of itself in a file that it shares with its parent, so that it is known after any death.
struct Board {
  private let numbers: UnsafeMutablePointer<UInt64>

  /// Maps the file, which is made where it is not there.
  init(_ path: String) throws {
    let size = 8 * MemoryLayout<UInt64>.size
    let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
    guard descriptor >= 0, ftruncate(descriptor, size) == 0,
      let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
    else { throw SystemError.last("mmap", path) }
    close(descriptor)
    numbers = memory.bindMemory(to: UInt64.self, capacity: 8)
  }

  /// The input that is being read.
  var index: UInt64 {
    get { numbers[0] }
    nonmutating set { numbers[0] = newValue }
  }
  /// Inputs that gave a value.
  var accepted: UInt64 {
    get { numbers[1] }
    nonmutating set { numbers[1] = newValue }
  }
  /// Inputs that gave a typed error.
  var refused: UInt64 {
    get { numbers[2] }
    nonmutating set { numbers[2] = newValue }
  }
  /// Inputs that broke a rule without killing the worker.
  var broken: UInt64 {
    get { numbers[3] }
    nonmutating set { numbers[3] = newValue }
  }
  /// The most processor time that an input took, in nanoseconds, and its index.
  var slowest: UInt64 {
    get { numbers[4] }
    nonmutating set { numbers[4] = newValue }
  }
  var slowestIndex: UInt64 {
    get { numbers[5] }
    nonmutating set { numbers[5] = newValue }
  }

  func clear() { for place in 0..<8 { numbers[place] = 0 } }
}
