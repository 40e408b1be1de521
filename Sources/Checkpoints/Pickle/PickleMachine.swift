/// The stack machine that a pickle is a program for, with every call left undone. The opcodes are those of pickle's protocols 0 to 5
/// (CPython 3.11, Lib/pickletools.py).
struct PickleMachine {
  typealias Reference = Pickle.Reference

  private let bytes: [UInt8]
  private(set) var position: Int
  private(set) var nodes: [Pickle.Node] = []
  private(set) var containers: [[Reference]] = []
  private(set) var calls: [Pickle.Call] = []
  private var stack: [Reference] = []
  /// The heights of the stack at which marks stand.
  private var marks: [Int] = []
  /// What was stored for later, -1 where nothing was.
  private var memo: [Reference] = []
  private let maximumValues: Int

  init(_ bytes: [UInt8], from start: Int, maximumValues: Int) throws(PickleError) {
    self.bytes = bytes
    self.maximumValues = maximumValues
    position = start
    guard bytes.count <= 1 << 30 else { throw tooLarge("it is longer than 1 GiB") }
  }

  /// Reads up to the STOP and gives the value that stands for the whole.
  mutating func run() throws(PickleError) -> Reference {
    while true {
      let opcode = try byte()
      if opcode == 0x2e { break }
      try perform(opcode)
    }
    return try pop()
  }

  private mutating func perform(_ opcode: UInt8) throws(PickleError) {
    switch opcode {
    case 0x80: _ = try byte()  // PROTO
    case 0x95: _ = try unsigned(8)  // FRAME
    case 0x28: try mark()  // MARK
    case 0x30: try discard()  // POP
    case 0x31: _ = try popToMark()  // POP_MARK
    case 0x32: try pushAgain(try peek())  // DUP
    case 0x4e: try push(.none)  // NONE
    case 0x88: try push(.bool(true))  // NEWTRUE
    case 0x89: try push(.bool(false))  // NEWFALSE
    case 0x49, 0x4c, 0x46: try number(in: try line(), opcode)  // INT LONG FLOAT
    case 0x4a: try push(.integer(Int64(Int32(truncatingIfNeeded: try unsigned(4)))))  // BININT
    case 0x4b: try push(.integer(Int64(try unsigned(1))))  // BININT1
    case 0x4d: try push(.integer(Int64(try unsigned(2))))  // BININT2
    case 0x8a: try long(try length(1))  // LONG1
    case 0x8b: try long(try length(4))  // LONG4
    case 0x47:
      try push(.double(Double(bitPattern: UInt64(truncatingIfNeeded: try unsigned(8)).byteSwapped)))
    case 0x53: try push(.text(unquoted(try line())))  // STRING
    case 0x56: try push(.text(try line()))  // UNICODE
    case 0x8c, 0x55: try push(.text(try take(try length(1))))  // SHORT_BINUNICODE SHORT_BINSTRING
    case 0x58, 0x54: try push(.text(try take(try length(4))))  // BINUNICODE BINSTRING
    case 0x8d: try push(.text(try take(try length(8))))  // BINUNICODE8
    case 0x43: try push(.bytes(try take(try length(1))))  // SHORT_BINBYTES
    case 0x42: try push(.bytes(try take(try length(4))))  // BINBYTES
    case 0x8e, 0x96: try push(.bytes(try take(try length(8))))  // BINBYTES8 BYTEARRAY8
    case 0x97: try push(.opaque)  // NEXT_BUFFER
    case 0x98: break  // READONLY_BUFFER
    case 0x5d, 0x6c, 0x61, 0x65, 0x29, 0x74, 0x85, 0x86, 0x87, 0x8f, 0x90, 0x91: try sequence(opcode)
    case 0x7d, 0x64, 0x73, 0x75: try dictionary(opcode)
    case 0x67, 0x68, 0x6a, 0x70, 0x71, 0x72, 0x94: try memory(opcode)
    default: try object(opcode)
    }
  }

  private mutating func sequence(_ opcode: UInt8) throws(PickleError) {
    switch opcode {
    case 0x5d: try push(.list(contain([])))  // EMPTY_LIST
    case 0x6c: try push(.list(contain(try popToMark())))  // LIST
    case 0x61:  // APPEND
      let item = try pop()
      try append([item], to: try peek())
    case 0x65, 0x90:  // APPENDS ADDITEMS
      let items = try popToMark()
      try append(items[...], to: try peek())
    case 0x29: try push(.tuple(contain([])))  // EMPTY_TUPLE
    case 0x74: try push(.tuple(contain(try popToMark())))  // TUPLE
    case 0x85, 0x86, 0x87:  // TUPLE1 TUPLE2 TUPLE3
      var items: [Reference] = []
      for _ in 0x84..<opcode { items.append(try pop()) }
      try push(.tuple(contain(items.reversed())))
    case 0x8f: try push(.set(contain([])))  // EMPTY_SET
    default: try push(.set(contain(try popToMark())))  // FROZENSET
    }
  }

  private mutating func dictionary(_ opcode: UInt8) throws(PickleError) {
    switch opcode {
    case 0x7d: try push(.dictionary(contain([])))  // EMPTY_DICT
    case 0x64: try push(.dictionary(contain(try pairs(try popToMark()))))  // DICT
    case 0x73:  // SETITEM
      let value = try pop()
      let key = try pop()
      try set([key, value], in: try peek())
    default:  // SETITEMS
      let items = try pairs(try popToMark())
      try set(items[...], in: try peek())
    }
  }

  private func pairs(_ items: [Reference]) throws(PickleError) -> [Reference] {
    guard items.count % 2 == 0 else { throw failure("a key has no value") }
    return items
  }

  private mutating func memory(_ opcode: UInt8) throws(PickleError) {
    switch opcode {
    case 0x67: try recall(try decimal(try line()))  // GET
    case 0x68: try recall(Int(try unsigned(1)))  // BINGET
    case 0x6a: try recall(Int(try unsigned(4)))  // LONG_BINGET
    case 0x70: try store(at: try decimal(try line()))  // PUT
    case 0x71: try store(at: Int(try unsigned(1)))  // BINPUT
    case 0x72: try store(at: Int(try unsigned(4)))  // LONG_BINPUT
    default: try store(at: memo.count)  // MEMOIZE
    }
  }

  private mutating func object(_ opcode: UInt8) throws(PickleError) {
    switch opcode {
    case 0x63:  // GLOBAL
      let module = try add(.text(try line()))
      try push(.global(module, try add(.text(try line()))))
    case 0x93:  // STACK_GLOBAL
      let name = try pop()
      try push(.global(try pop(), name))
    case 0x69:  // INST
      let module = try add(.text(try line()))
      let callee = try add(.global(module, try add(.text(try line()))))
      try call(callee, try add(.tuple(contain(try popToMark()))))
    case 0x6f:  // OBJ
      let items = try popToMark()
      guard let callee = items.first else { throw failure("an object has no class") }
      try call(callee, try add(.tuple(contain(Array(items.dropFirst())))))
    case 0x52, 0x81:  // REDUCE NEWOBJ
      let arguments = try pop()
      try call(try pop(), arguments)
    case 0x92:  // NEWOBJ_EX
      _ = try pop()
      let arguments = try pop()
      try call(try pop(), arguments)
    case 0x62:  // BUILD
      let state = try pop()
      if case .call(let index) = nodes[Int(try peek())] { calls[Int(index)].state = state }
    case 0x50: try push(.persistent(try add(.text(try line()))))  // PERSID
    case 0x51: try push(.persistent(try pop()))  // BINPERSID
    default: throw failure("byte \(opcode) is no opcode that is known")
    }
  }
}

// MARK: - Values

extension PickleMachine {
  private mutating func add(_ node: Pickle.Node) throws(PickleError) -> Reference {
    guard nodes.count < maximumValues else { throw tooLarge("it holds more than \(maximumValues) values") }
    nodes.append(node)
    return Reference(nodes.count - 1)
  }

  private mutating func push(_ node: Pickle.Node) throws(PickleError) { stack.append(try add(node)) }

  private mutating func contain(_ items: [Reference]) -> Int32 {
    containers.append(items)
    return Int32(containers.count - 1)
  }

  /// What costs no value costs room on the stack, which is bounded like the values.
  private mutating func pushAgain(_ value: Reference) throws(PickleError) {
    guard stack.count < maximumValues else { throw tooMuch }
    stack.append(value)
  }

  private var tooMuch: PickleError { tooLarge("its stack holds more than \(maximumValues) values") }

  private mutating func mark() throws(PickleError) {
    guard marks.count < maximumValues else { throw tooMuch }
    marks.append(stack.count)
  }

  private mutating func call(_ callee: Reference, _ arguments: Reference) throws(PickleError) {
    calls.append(Pickle.Call(callee: callee, arguments: arguments))
    try push(.call(Int32(calls.count - 1)))
  }

  private mutating func append(
    _ items: ArraySlice<Reference>, to target: Reference
  ) throws(PickleError) {
    switch nodes[Int(target)] {
    case .list(let index), .set(let index): containers[Int(index)] += items
    case .call(let index):
      if calls[Int(index)].items < 0 { calls[Int(index)].items = contain([]) }
      containers[Int(calls[Int(index)].items)] += items
    default: throw failure("something is appended to what is no list")
    }
  }

  private mutating func set(_ pairs: ArraySlice<Reference>, in target: Reference) throws(PickleError) {
    switch nodes[Int(target)] {
    case .dictionary(let index): containers[Int(index)] += pairs
    case .call(let index):
      if calls[Int(index)].entries < 0 { calls[Int(index)].entries = contain([]) }
      containers[Int(calls[Int(index)].entries)] += pairs
    default: throw failure("an entry is set in what is no dictionary")
    }
  }
}

// MARK: - Stack and memo

extension PickleMachine {
  private func peek() throws(PickleError) -> Reference {
    guard let last = stack.last, stack.count > marks.last ?? 0 else { throw failure("its stack is empty") }
    return last
  }

  private mutating func pop() throws(PickleError) -> Reference {
    let last = try peek()
    stack.removeLast()
    return last
  }

  private mutating func discard() throws(PickleError) {
    if let mark = marks.last, mark == stack.count { marks.removeLast() } else { _ = try pop() }
  }

  private mutating func popToMark() throws(PickleError) -> [Reference] {
    guard let mark = marks.popLast() else { throw failure("a mark is missing") }
    let items = Array(stack[mark...])
    stack.removeLast(stack.count - mark)
    return items
  }

  private mutating func recall(_ index: Int) throws(PickleError) {
    guard memo.indices.contains(index), memo[index] >= 0 else {
      throw failure("it recalls what it never stored")
    }
    try pushAgain(memo[index])
  }

  /// Pickles number what they store from 0 on, so that a number beyond the pickle's length is none.
  private mutating func store(at index: Int) throws(PickleError) {
    guard index >= 0, index <= bytes.count, index <= maximumValues else {
      throw failure("it stores at an absurd number")
    }
    let value = try peek()
    while memo.count <= index { memo.append(-1) }
    memo[index] = value
  }
}

// MARK: - Bytes

extension PickleMachine {
  private func failure(_ reason: String, isCut: Bool = false) -> PickleError {
    PickleError(reason: reason, offset: position, isCut: isCut)
  }

  private func tooLarge(_ reason: String) -> PickleError {
    PickleError(reason: reason, offset: position, isCut: false, isTooLarge: true)
  }

  private mutating func byte() throws(PickleError) -> UInt8 {
    guard position < bytes.count else { throw failure("it ends without a STOP", isCut: true) }
    position += 1
    return bytes[position - 1]
  }

  private mutating func take(_ count: Int) throws(PickleError) -> Range<Int32> {
    guard count <= bytes.count - position else { throw failure("it is cut", isCut: true) }
    position += count
    return Int32(position - count)..<Int32(position)
  }

  /// A number of at most eight bytes, the lowest first; of eight bytes the bit pattern.
  private mutating func unsigned(_ width: Int) throws(PickleError) -> Int {
    let range = try take(width)
    var value: UInt64 = 0
    for index in range.reversed() { value = value << 8 | UInt64(bytes[Int(index)]) }
    return Int(truncatingIfNeeded: value)
  }

  private mutating func length(_ width: Int) throws(PickleError) -> Int {
    let value = try unsigned(width)
    guard value >= 0, value <= bytes.count else { throw failure("it is cut", isCut: true) }
    return value
  }

  /// A line without its end.
  private mutating func line() throws(PickleError) -> Range<Int32> {
    let start = position
    while try byte() != 0x0a {}
    return Int32(start)..<Int32(position - 1)
  }

  private func unquoted(_ line: Range<Int32>) -> Range<Int32> {
    guard line.count >= 2 else { return line }
    return line.lowerBound + 1..<line.upperBound - 1
  }

  private func string(_ line: Range<Int32>) -> String {
    String(decoding: bytes[Int(line.lowerBound)..<Int(line.upperBound)], as: UTF8.self)
  }

  private func decimal(_ line: Range<Int32>) throws(PickleError) -> Int {
    guard line.count <= 20, let value = Int(string(line)) else { throw failure("a number cannot be read") }
    return value
  }

  /// Numbers as text; `I01` and `I00` are the truth values of protocol 0.
  private mutating func number(in line: Range<Int32>, _ opcode: UInt8) throws(PickleError) {
    guard line.count <= 64 else { return try push(.opaque) }
    let text = string(line)
    switch opcode {
    case 0x46:
      guard let value = Double(text) else { throw failure("a number cannot be read") }
      try push(.double(value))
    case 0x49 where text == "00" || text == "01": try push(.bool(text == "01"))
    default:
      try push(Int64(text.hasSuffix("L") ? String(text.dropLast()) : text).map { .integer($0) } ?? .opaque)
    }
  }

  /// A whole number in two's complement, the lowest byte first.
  private mutating func long(_ count: Int) throws(PickleError) {
    let range = try take(count)
    guard count <= 8 else { return try push(.opaque) }
    var value: Int64 = 0
    for (place, index) in range.enumerated() { value |= Int64(bytes[Int(index)]) << (8 * place) }
    let unused = 64 - 8 * count
    try push(.integer(count == 0 ? 0 : (value << unused) >> unused))
  }
}
