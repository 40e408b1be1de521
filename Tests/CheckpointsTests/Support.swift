import FoundationEssentials
import Platform
import TestSupport

@testable import Checkpoints

func contents(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }

func open(_ path: String) throws -> OpenFile {
  let tree = try Tree.scan(path)
  return try tree.root.open(tree.entries[0].path)
}
