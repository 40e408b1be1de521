import Platform
import Testing

@Suite("Hexadecimal digits") struct HexTests {
  @Test("any bytes become lower-case digits and come back, capitals too")
  func roundTrip() {
    let all = (0...255).map(UInt8.init)
    #expect(hex([0x00, 0x0f, 0xa5, 0xff]) == "000fa5ff")
    #expect(bytes(hex: hex(all)) == all)
    #expect(bytes(hex: hex(all).uppercased()) == all)
    #expect(hex([UInt8]()).isEmpty && bytes(hex: "") == [])
  }

  @Test("an odd number of digits and any other character are refused")
  func refused() {
    for text in ["0", "abc", "0g", "0x00", " 00", "00\n", "-1", "é", "٠٠", "１２", "0\u{0}"] {
      #expect(bytes(hex: text) == nil, "\(text.debugDescription)")
    }
  }
}
