/// What a pickle describes, read without executing anything: plain data as it stands, and of every class and call only the names.
///
/// A pickle is a program for a small stack machine that may import and call whatever it names
/// (CPython 3.11, Lib/pickle.py and Lib/pickletools.py). Here a call stays a description of itself, `Value.callee` with its
/// arguments, so that a hostile pickle can claim things but do nothing. Values may be shared and may contain themselves: who
/// walks them bounds the depth.
public final class Pickle: Sendable {
  /// The most values that are read unless the caller says otherwise; about 40 bytes of memory each.
  public static let maximumValues = 4_000_000
  /// A module or class with a longer name is none, in bytes.
  static let longestName = 1024

  /// Where a value stands in `nodes`.
  typealias Reference = Int32

  enum Node {
    case none
    case bool(Bool)
    case integer(Int64)
    case double(Double)
    /// UTF-8 text: a range of `source`.
    case text(Range<Int32>)
    /// Bytes: a range of `source`.
    case bytes(Range<Int32>)
    /// Indexes of `containers`.
    case list(Int32)
    case tuple(Int32)
    case set(Int32)
    /// Keys and values in turn.
    case dictionary(Int32)
    /// Module and name, each a `text`.
    case global(Reference, Reference)
    /// An index of `calls`.
    case call(Int32)
    /// What stands outside of the pickle, by its id.
    case persistent(Reference)
    /// Something of which only its being there is known: an integer of more than 64 bits, a buffer of its own.
    case opaque
  }

  /// A call that reading the pickle in Python would make, and what would be done with its result.
  struct Call {
    let callee: Reference
    let arguments: Reference
    /// What its `__setstate__` would get, or -1.
    var state: Reference = -1
    /// Where what is appended to it stands in `containers`, or -1.
    var items: Int32 = -1
    /// Where keys and values that are set in it stand in `containers`, or -1.
    var entries: Int32 = -1
  }

  let source: [UInt8]
  let nodes: [Node]
  let containers: [[Reference]]
  let calls: [Call]
  private let top: Reference
  /// Where the pickle ends in the bytes that it was read from: the offset behind its STOP.
  public let end: Int

  /// Reads the pickle that begins at `start` of `bytes`. Throws `PickleError`.
  ///
  /// Takes time and memory in proportion to its length; at most `maximumValues` values and 1 GiB.
  public init(
    _ bytes: [UInt8], from start: Int = 0, maximumValues: Int = Pickle.maximumValues
  ) throws(PickleError) {
    var machine = try PickleMachine(bytes, from: start, maximumValues: maximumValues)
    top = try machine.run()
    source = bytes
    nodes = machine.nodes
    containers = machine.containers
    calls = machine.calls
    end = machine.position
  }

  /// The value that the pickle stands for.
  public var root: Value { Value(pickle: self, reference: top) }
}

/// Why bytes are no pickle that can be read.
public struct PickleError: Error, Equatable, Sendable {
  /// What is wrong, to be put behind a colon.
  public let reason: String
  /// The offset in bytes where reading ended.
  public let offset: Int
  /// Whether the bytes just end too early.
  public let isCut: Bool
  /// Whether it may well be a pickle, but one with more than is read.
  public var isTooLarge = false
}

extension Pickle {
  /// One value of a pickle.
  public struct Value: Sendable {
    let pickle: Pickle
    let reference: Reference

    private var node: Node { pickle.nodes[Int(reference)] }
    private func at(_ reference: Reference) -> Value { Value(pickle: pickle, reference: reference) }
    private func first(_ limit: Int, of container: Int32) -> [Value] {
      pickle.containers[Int(container)].prefix(limit).map(at)
    }
    private var call: Call? { if case .call(let index) = node { pickle.calls[Int(index)] } else { nil } }

    /// Whether it is `None`.
    public var isNone: Bool { if case .none = node { true } else { false } }
    /// A truth value.
    public var bool: Bool? { if case .bool(let value) = node { value } else { nil } }
    /// A whole number of at most 64 bits.
    public var integer: Int? { if case .integer(let value) = node { Int(value) } else { nil } }
    /// A finite number, whole or not.
    public var number: Double? {
      switch node {
      case .integer(let value): Double(value)
      case .double(let value) where value.isFinite: value
      default: nil
      }
    }
    /// A float, also one that is not finite.
    public var double: Double? { if case .double(let value) = node { value } else { nil } }
    /// A string; bytes that are not UTF-8 are replaced.
    public var text: String? { utf8.map { String(decoding: $0, as: UTF8.self) } }
    /// The bytes of a string.
    var utf8: ArraySlice<UInt8>? {
      if case .text(let range) = node { slice(range) } else { nil }
    }
    /// The content of a `bytes` value.
    public var bytes: ArraySlice<UInt8>? {
      if case .bytes(let range) = node { slice(range) } else { nil }
    }
    private func slice(_ range: Range<Int32>) -> ArraySlice<UInt8> {
      pickle.source[Int(range.lowerBound)..<Int(range.upperBound)]
    }

    /// The elements of a list, tuple or set, or what is appended to an object.
    public var elements: [Value]? { elements(limit: .max) }

    /// The first elements. A value may be shared by very many others, so that who walks over them must not pay for all each time.
    func elements(limit: Int) -> [Value]? {
      switch node {
      case .list(let index), .tuple(let index), .set(let index): return first(limit, of: index)
      case .call(let index):
        let items = pickle.calls[Int(index)].items
        return items < 0 ? nil : first(limit, of: items)
      default: return nil
      }
    }

    /// The keys and values of a dictionary, or what is set in an object such as an `OrderedDict`, in order.
    public var entries: [(key: Value, value: Value)]? { entries(limit: .max) }

    /// The first entries, for who walks over values that may be shared.
    func entries(limit: Int) -> [(key: Value, value: Value)]? {
      let container: [Reference]
      switch node {
      case .dictionary(let index): container = pickle.containers[Int(index)]
      case .call(let index):
        let call = pickle.calls[Int(index)]
        if call.entries >= 0 {
          container = pickle.containers[Int(call.entries)]
        } else if isMapping {
          container = []
        } else {
          return nil
        }
      default: return nil
      }
      return (0..<min(limit, container.count / 2)).map {
        (at(container[2 * $0]), at(container[2 * $0 + 1]))
      }
    }

    /// Whether it is an object of a class that holds entries, be it empty.
    private var isMapping: Bool {
      guard let callee else { return false }
      return callee == "collections.OrderedDict" || callee == "collections.defaultdict"
    }

    /// The entry of a dictionary, or the attribute of an object, with this name; the last one counts.
    public subscript(_ name: String) -> Value? {
      entries?.last { $0.key.isText(name) }?.value ?? attributes?.last { $0.key.isText(name) }?.value
    }

    /// The attributes that an object is given, by its state.
    public var attributes: [(key: Value, value: Value)]? { attributes(limit: .max) }

    /// The first attributes, for who walks over values that may be shared.
    func attributes(limit: Int) -> [(key: Value, value: Value)]? {
      guard let call, call.state >= 0 else { return nil }
      let state = at(call.state)
      // Of an object with slots the state is a pair: its dictionary and its slots.
      if case .tuple(let index) = state.node {
        return first(2, of: index).flatMap { $0.entries(limit: limit) ?? [] }
      }
      return state.entries(limit: limit)
    }

    /// Whether it is this string.
    func isText(_ text: String) -> Bool { utf8?.elementsEqual(text.utf8) ?? false }

    /// The dotted name of a class or function, for example `torch.FloatStorage`.
    public var global: String? {
      // Many calls may share one name, so a hostile one of megabytes would be made a string again and again.
      guard case .global(let module, let name) = node, let module = at(module).utf8, let name = at(name).utf8,
        module.count <= Pickle.longestName, name.count <= Pickle.longestName
      else { return nil }
      return String(decoding: module, as: UTF8.self) + "." + String(decoding: name, as: UTF8.self)
    }
    /// The dotted name of what a call or an object's construction would call.
    public var callee: String? { call.flatMap { at($0.callee).global } }
    /// The arguments of that call.
    public var arguments: [Value] { arguments(limit: .max) }
    /// The first arguments.
    func arguments(limit: Int) -> [Value] { call.flatMap { at($0.arguments).elements(limit: limit) } ?? [] }
    /// What an object's `__setstate__` would get.
    public var state: Value? { call.flatMap { $0.state < 0 ? nil : at($0.state) } }
    /// The id of what lies outside of the pickle: a tuple for torch's storages.
    public var persistentID: Value? { if case .persistent(let id) = node { at(id) } else { nil } }
  }
}
