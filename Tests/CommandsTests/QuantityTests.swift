import Testing

@testable import Commands

@Test(arguments: [
  ("512MiB", 512 << 20), ("1.5GiB", 3 << 29), ("50GB", 50_000_000_000), ("1048576", 1 << 20),
  ("64k", 64 << 10),
  ("0", 0), ("2 GiB", 2 << 30),
])
func sizesAreReadInTheUnitsThatPeopleWrite(_ text: String, _ bytes: Int) {
  #expect(Quantity.bytes(text) == bytes)
}

@Test(arguments: ["", "GiB", "-1", "1.2.3MiB", "12parsecs", "1e400", "99999999999TiB", "nan", "0x10"])
func whatIsNoSizeIsRefused(_ text: String) { #expect(Quantity.bytes(text) == nil) }

@Test(arguments: [("20MiB", 20 << 20), ("20MiB/s", 20 << 20), ("1024", 1024), ("5MB", 5_000_000)])
func ratesAreReadAsSizesASecond(_ text: String, _ rate: Int) { #expect(Quantity.rate(text) == rate) }

@Test(arguments: ["", "0", "1023", "-1MiB", "fast", "20MiB/m", "/s"])
func whatIsNoRateIsRefused(_ text: String) { #expect(Quantity.rate(text) == nil) }

@Test(arguments: [
  ("90s", 90.0), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000), ("2w", 1_209_600), ("0.5h", 1800),
])
func timesAreReadInTheUnitsThatPeopleWrite(_ text: String, _ seconds: Double) {
  #expect(Quantity.seconds(text) == seconds)
}

@Test(arguments: ["", "h", "24", "-3d", "1y"])
func whatIsNoTimeIsRefused(_ text: String) { #expect(Quantity.seconds(text) == nil) }

@Test(arguments: [
  (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (130 << 10, "130 KiB"),
  (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB"),
])
func sizesAreShownInBinaryUnits(_ bytes: Int, _ text: String) {
  #expect(Quantity.format(bytes: bytes) == text)
}

@Test(arguments: [(0.0, "0s"), (59.4, "59s"), (185, "3m 05s"), (7620, "2h 07m"), (353_000, "4d 02h")])
func timesAreShownInTwoUnits(_ seconds: Double, _ text: String) {
  #expect(Quantity.format(seconds: seconds) == text)
}

@Test(arguments: [
  (0.0123, "0.0123"), (1.23456, "1.2346"), (12.345, "12.35"), (3, "3"), (-2, "-2"), (0.000001, "1e-06"),
])
func metricsKeepTheDigitsThatCount(_ value: Double, _ text: String) {
  #expect(Quantity.format(metric: value) == text)
}

@Test func aTableAlignsItsColumnsAndFitsTheTerminal() {
  var table = Table([("NAME", .left), ("SIZE", .right), ("WHY", .left)])
  table.add(["a", "1.0 GiB", "short"])
  table.add(["größe-模型", "12 B", String(repeating: "long ", count: 40)])
  let lines = table.lines(width: 60)
  #expect(lines[0] == "NAME           SIZE  WHY")
  #expect(lines[1] == "a           1.0 GiB  short")
  #expect(lines.allSatisfy { $0.count <= 60 })
  #expect(table.lines(width: 0)[2].hasSuffix("long"))
}
