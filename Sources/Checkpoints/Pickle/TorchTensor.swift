/// A tensor as torch's pickles describe it: a view of a storage that lies beside the pickle.
///
/// Facts from torch/_utils.py (2.13): `_rebuild_tensor_v2` and `_rebuild_tensor_v3`, `_rebuild_parameter`; storages are named by
/// `('storage', class, key, location, elements)` (torch/serialization.py, `persistent_id`).
public struct TorchTensor: Equatable, Sendable {
  /// The element type in safetensors' words, for example `BF16`.
  public let dtype: String
  /// Its dimensions; none for a scalar. None is negative.
  public let shape: [Int]
  /// How far apart neighbours are in each dimension, in elements. None is negative.
  public let strides: [Int]
  /// Where it begins in its storage, in elements.
  public let offset: Int
  /// The storage's name, which is the entry `data/KEY` of a torch zip.
  public let storage: String
  /// The storage's length in bytes.
  public let storageSize: Int

  /// The size of an element in bytes.
  public var itemSize: Int { itemSizes[dtype] ?? 1 }
  /// How many elements it has.
  public var count: Int { shape.reduce(1, *) }
  /// Whether its elements lie one after the other, the last dimension fastest.
  public var isContiguous: Bool {
    if count == 0 { return true }
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() where size != 1 {
      if stride != expected { return false }
      expected *= size
    }
    return true
  }

  /// The element type that torch names so, for example `torch.bfloat16`, in safetensors' words; nil where it is unknown.
  static func dtype(named name: String) -> String? { dtypes[name] }

  /// The tensor that a value describes, or nil where it describes none, one of an unknown type, or one that its storage cannot hold.
  public init?(_ value: Pickle.Value) {
    self.init(value, depth: 0)
  }

  private init?(_ value: Pickle.Value, depth: Int) {
    guard depth < 4, let callee = value.callee else { return nil }
    let arguments = value.arguments(limit: 8)
    switch callee {
    case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
      guard let inner = arguments.first else { return nil }
      self.init(inner, depth: depth + 1)
    case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
      self.init(arguments, named: nil)
    case "torch._utils._rebuild_tensor_v3":
      guard arguments.count > 6, let type = arguments[6].global else { return nil }
      self.init(arguments, named: type)
    case "torch._tensor._rebuild_from_type_v2":
      guard arguments.count > 2, let function = arguments[0].global,
        ["torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"].contains(function),
        let inner = arguments[2].elements(limit: 8)
      else { return nil }
      self.init(inner, named: inner.count > 6 ? inner[6].global : nil)
    default: return nil
    }
  }

  /// From what torch's rebuilding functions get: storage, offset, shape, strides. `type` is the element type of a storage
  /// without one.
  private init?(_ arguments: [Pickle.Value], named type: String?) {
    guard arguments.count >= 4, let place = arguments[0].persistentID, let (key, size) = Self.storage(place),
      Self.isPlain(arguments, named: type, place), let offset = arguments[1].integer, offset >= 0,
      let shape = Self.sizes(arguments[2]), let strides = Self.sizes(arguments[3]),
      shape.count == strides.count,
      let dtype = type.map({ dtypes[$0] })
        ?? place.elements(limit: 8)?[1].global.flatMap({ storageTypes[$0] }),
      let itemSize = itemSizes[dtype], let last = Self.last(shape, strides, offset), last <= size / itemSize
    else { return nil }
    self.dtype = dtype
    self.shape = shape
    self.strides = strides
    self.offset = offset
    storage = key
    storageSize = size
  }

  /// The key and the length in bytes of the storage that a persistent id names, or nil where it names none of a known type.
  static func storage(_ id: Pickle.Value) -> (key: String, size: Int)? {
    guard let place = id.elements(limit: 8), place.count >= 5, place[0].isText("storage"),
      let kind = place[1].global,
      (place[2].utf8?.count ?? 0) <= Pickle.longestName, let key = place[2].text,
      let elements = place[4].integer, elements >= 0,
      let unit = kind.hasSuffix(".UntypedStorage") ? 1 : storageTypes[kind].flatMap({ itemSizes[$0] })
    else { return nil }
    let (size, overflow) = elements.multipliedReportingOverflow(by: unit)
    return overflow ? nil : (key, size)
  }

  /// Whether nothing changes what the storage's numbers mean: no bits that negate or conjugate them (the last argument of both
  /// functions), no view of a storage (the sixth element of the oldest ids).
  private static func isPlain(_ arguments: [Pickle.Value], named type: String?, _ place: Pickle.Value) -> Bool
  {
    let metadata = type == nil ? 6 : 7
    if arguments.count > metadata, !arguments[metadata].isNone,
      arguments[metadata].entries(limit: 8)?.contains(where: { $0.value.bool != false }) ?? true
    {
      return false
    }
    let id = place.elements(limit: 8) ?? []
    return id.count < 6 || id[5].isNone
  }

  private static func sizes(_ value: Pickle.Value) -> [Int]? {
    guard let elements = value.elements(limit: 65), elements.count <= 64 else { return nil }
    var sizes: [Int] = []
    for element in elements {
      guard let size = element.integer, size >= 0 else { return nil }
      sizes.append(size)
    }
    return sizes
  }

  /// The element behind the last one that is reached, or nil where that or the count is beyond all numbers.
  private static func last(_ shape: [Int], _ strides: [Int], _ offset: Int) -> Int? {
    var end = offset
    var count = 1
    for (size, stride) in zip(shape, strides) {
      let (product, tooMany) = count.multipliedReportingOverflow(by: size)
      let (step, tooWide) = (max(size, 1) - 1).multipliedReportingOverflow(by: stride)
      let (sum, tooFar) = end.addingReportingOverflow(step)
      guard !tooMany, !tooWide, !tooFar else { return nil }
      count = product
      end = sum
    }
    return count == 0 ? offset : end == Int.max ? nil : end + 1
  }
}

/// The element types of storages that have one (torch/storage.py, `_new_dtypes` and the typed classes).
private let storageTypes: [String: String] = [
  "torch.DoubleStorage": "F64", "torch.FloatStorage": "F32", "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16", "torch.LongStorage": "I64", "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16", "torch.CharStorage": "I8", "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL", "torch.ComplexFloatStorage": "C64",
]

/// Element types by name, as storages without one are given them.
private let dtypes: [String: String] = [
  "torch.float64": "F64", "torch.float32": "F32", "torch.float16": "F16", "torch.bfloat16": "BF16",
  "torch.int64": "I64", "torch.int32": "I32", "torch.int16": "I16", "torch.int8": "I8", "torch.uint8": "U8",
  "torch.uint16": "U16", "torch.uint32": "U32", "torch.uint64": "U64", "torch.bool": "BOOL",
  "torch.complex64": "C64", "torch.float8_e4m3fn": "F8_E4M3", "torch.float8_e5m2": "F8_E5M2",
  "torch.float8_e4m3fnuz": "F8_E4M3FNUZ", "torch.float8_e5m2fnuz": "F8_E5M2FNUZ",
  "torch.float8_e8m0fnu": "F8_E8M0",
]

/// The size in bytes of an element of each type that is known.
let itemSizes: [String: Int] = [
  "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "U16": 2, "U32": 4,
  "U64": 8, "BOOL": 1, "C64": 8, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1,
]
