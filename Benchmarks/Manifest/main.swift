import Foundation
import Repository

// Writes a manifest that it reads from a file, as the object that a push puts, and prints the seconds that this takes: `manifest-speed FILE`.

guard CommandLine.arguments.count == 2,
  let object = FileManager.default.contents(atPath: CommandLine.arguments[1])
else { fatalError("usage: manifest-speed FILE") }
let manifest = try Manifest.decode([UInt8](object), object: CommandLine.arguments[1])
var written: [UInt8] = []
let took = try ContinuousClock().measure { written = try manifest.encode() }
guard try Manifest.decode(written, object: "what was written") == manifest else {
  fatalError("what was written is another manifest")
}
print(Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18)
