import Platform

/// The model that an adapter was trained on, and what kind of adapter it is, by `adapter_config.json` of PEFT.
public struct BaseModel: Equatable, Codable, Sendable {
  /// The model's name or path; nil where the adapter does not name it.
  public var name: String?
  /// The model's revision, where one was asked for.
  public var revision: String?
  /// The kind of adapter, for example `LORA`, and `DORA` or `RSLORA` for what PEFT counts as such.
  public var kind: String?
  /// LoRA's rank.
  public var rank: Int?
  /// The modules that were trained whole and are kept beside the adapter.
  public var modulesToSave: [String]

  enum CodingKeys: String, CodingKey {
    case name, revision, kind, rank
    case modulesToSave = "modules_to_save"
  }

  /// Facts from peft/config.py and tuners/lora/config.py (0.21).
  init(_ configuration: JSONValue) {
    name = configuration["base_model_name_or_path"]?.text.flatMap { $0.isEmpty ? nil : $0 }
    revision = configuration["revision"]?.text
    rank = configuration["r"]?.integer
    kind = configuration["peft_type"]?.text
    if configuration["use_dora"] == .bool(true) {
      kind = "DORA"
    } else if configuration["use_rslora"] == .bool(true) {
      kind = "RSLORA"
    }
    modulesToSave = (configuration["modules_to_save"]?.elements ?? []).compactMap(\.text)
  }

  /// What the owner of the adapter `file` should know about it.
  func notice(_ file: RelativePath?) -> Notice? {
    guard let name else { return Notice(file, .noBaseModel) }
    let isPath = ["/", "./", "../", "~"].contains(where: name.hasPrefix) || name == "." || name == ".."
    return isPath || (try? OpenDirectory(name)) != nil ? Notice(file, .localBaseModel(name)) : nil
  }

  /// One line for people, for example `meta/llama, LORA of rank 8`.
  public var words: String {
    var words = escaped((name ?? "unnamed").utf8)
    if let revision { words += " at \(escaped(revision.utf8))" }
    if let kind { words += ", \(escaped(kind.utf8))" + (rank.map { " of rank \($0)" } ?? "") }
    if !modulesToSave.isEmpty {
      words += ", with " + modulesToSave.prefix(8).map { escaped($0.utf8) }.joined(separator: ", ")
    }
    return words
  }
}
