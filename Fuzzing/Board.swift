import Glibc
import Platform

/// What a worker tells of itself in a file that it shares with its parent, so that it is known after any death.
@dynamicMemberLookup struct Board {
  /// The numbers as they lie in the file.
  struct Numbers {
    /// The input that is being read.
    var index: UInt64 = 0
    /// Inputs that gave a value.
    var accepted: UInt64 = 0
    /// Inputs that gave a typed error.
    var refused: UInt64 = 0
    /// Inputs that broke a rule without killing the worker.
    var broken: UInt64 = 0
    /// The most processor time that an input took, in nanoseconds.
    var slowest: UInt64 = 0
    /// The index of that input.
    var slowestIndex: UInt64 = 0
  }

  private let numbers: UnsafeMutablePointer<Numbers>

  /// Maps the file, which is made where it is not there.
  init(_ path: String) throws {
    let size = MemoryLayout<Numbers>.stride
    let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
    guard descriptor >= 0, ftruncate(descriptor, size) == 0,
      let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
    else { throw SystemError.last("mmap", path) }
    close(descriptor)
    numbers = memory.bindMemory(to: Numbers.self, capacity: 1)
  }

  subscript(dynamicMember member: WritableKeyPath<Numbers, UInt64>) -> UInt64 {
    get { numbers.pointee[keyPath: member] }
    nonmutating set { numbers.pointee[keyPath: member] = newValue }
  }

  func clear() { numbers.pointee = Numbers() }
}
