#!/usr/bin/env python3
"""Writes a checkpoint directory as the Hugging Face Trainer would, with nothing but Python's standard library.

The files are true ones: safetensors opens model.safetensors, torch.load opens optimizer.pt, scheduler.pt and
rng_state.pth. The values are random, but have the exponents of real weights, and the same arguments give the same
bytes. With --change a successor is written: the last parameters, that share of all bytes, have moved on, and the
others are as they were, as in a fine-tuning with frozen layers.
"""

import argparse
import collections
import json
import math
import os
import pickle
import random
import struct
import sys
import types
import zlib

VOCABULARY = 1024
LAYERS = 4
# Bytes a parameter takes: 2 as a bfloat16 weight, 4 + 4 for Adam's two float32 moments.
BYTES_PER_PARAMETER = 10


def main(arguments=None):
    options = parse(arguments)
    os.makedirs(options.out, exist_ok=True)
    model = Model(options)

    def path(name):
        return os.path.join(options.out, name)

    write_json(path("config.json"), model.config())
    write_json(path("generation_config.json"), {"bos_token_id": 1, "eos_token_id": 2, "do_sample": True})
    write_safetensors(path("model.safetensors"), model)
    torch_save(path("training_args.bin"), training_arguments(options))
    torch_save(path("optimizer.pt"), optimizer_state(model))
    torch_save(path("scheduler.pt"), scheduler_state(options.step))
    torch_save(path("rng_state.pth"), random_state(options))
    # The Trainer writes this one last: its presence says that the save was finished.
    write_json(path("trainer_state.json"), trainer_state(options))
    size = sum(entry.stat().st_size for entry in os.scandir(options.out))
    print(f"{options.out}: step {options.step}, {size / 2**20:.1f} MiB in {len(os.listdir(options.out))} files")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", required=True, metavar="DIR", help="the directory to write")
    parser.add_argument("--size", type=float, default=64, metavar="MIB", help="about how large, in MiB (default 64)")
    parser.add_argument("--step", type=int, default=1000, help="the training step (default 1000)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same base weights (default 7)")
    parser.add_argument("--change", type=percent, default=0.0, metavar="PERCENT",
                        help="write a successor in which this share of the bytes differs, such as 10%%")
    options = parser.parse_args(arguments)
    if options.size < 1 or options.step < 0:
        parser.error("--size must be at least 1 and --step at least 0")
    return options


def percent(text):
    value = float(text.rstrip("%")) / 100
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be between 0% and 100%")
    return value


# The model: names, shapes, and the values of each parameter.

class Model:
    """A small Llama: its parameters in the order of the files, and which of them have changed."""

    def __init__(self, options):
        self.seed, self.step = options.seed, options.step
        self.hidden = hidden_size(options.size * 2**20 / BYTES_PER_PARAMETER)
        self.shapes = dict(self.parameters())
        self.changed = set()
        total = sum(map(math.prod, self.shapes.values()))
        covered = 0
        for name in reversed(self.shapes):
            size = math.prod(self.shapes[name])
            if covered + size / 2 > options.change * total:
                break
            covered += size
            self.changed.add(name)

    def parameters(self):
        hidden, inner = self.hidden, 4 * self.hidden
        yield "model.embed_tokens.weight", (VOCABULARY, hidden)
        for layer in range(LAYERS):
            prefix = f"model.layers.{layer}"
            yield f"{prefix}.input_layernorm.weight", (hidden,)
            for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
                yield f"{prefix}.self_attn.{part}.weight", (hidden, hidden)
            yield f"{prefix}.post_attention_layernorm.weight", (hidden,)
            yield f"{prefix}.mlp.gate_proj.weight", (inner, hidden)
            yield f"{prefix}.mlp.up_proj.weight", (inner, hidden)
            yield f"{prefix}.mlp.down_proj.weight", (hidden, inner)
        yield "model.norm.weight", (hidden,)
        yield "lm_head.weight", (VOCABULARY, hidden)

    def values(self, name, kind, width):
        """Little-endian bfloat16 (width 2) or float32 (width 4) values of small magnitude, never NaN or infinite."""
        version = self.step if name in self.changed else "base"
        source = random.Random(f"{self.seed}/{version}/{kind}/{name}")
        count = math.prod(self.shapes[name])
        data = bytearray(width * count)
        for byte in range(width - 1):
            data[byte::width] = source.randbytes(count)
        data[width - 1::width] = source.randbytes(count).translate(SIGN_AND_EXPONENT)
        return bytes(data)

    def updates(self, name):
        """How many optimizer steps a parameter has seen: a frozen one stays where it was."""
        return float(self.step if name in self.changed else 100)

    def config(self):
        return {
            "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", "hidden_size": self.hidden,
            "intermediate_size": 4 * self.hidden, "model_type": "llama", "num_attention_heads": self.hidden // 64,
            "num_hidden_layers": LAYERS, "tie_word_embeddings": False, "vocab_size": VOCABULARY,
        }


# The top byte of a float is its sign and seven bits of exponent: these are 2^-9 to 2^-3.
SIGN_AND_EXPONENT = bytes((0x80 if byte & 0x80 else 0) | (0x3B, 0x3C, 0x3D)[byte % 3] for byte in range(256))


def hidden_size(parameters):
    """The multiple of 64 whose model, 16 h² a layer and two embeddings, comes nearest to so many parameters."""
    quadratic, linear = 16 * LAYERS, 2 * VOCABULARY
    exact = (math.sqrt(linear**2 + 4 * quadratic * parameters) - linear) / (2 * quadratic)
    return max(64, round(exact / 64) * 64)


# The files.

def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, sort_keys=True)
        file.write("\n")


def write_safetensors(path, model):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in model.shapes.items():
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in model.shapes:
            file.write(model.values(name, "weight", 2))


def optimizer_state(model):
    """AdamW's state_dict: a step and two moments for each parameter, in two groups (with and without decay)."""
    state = {}
    for index, name in enumerate(model.shapes):
        shape = model.shapes[name]
        state[index] = {
            "step": Tensor("FloatStorage", (), lambda name=name: struct.pack("<f", model.updates(name))),
            "exp_avg": Tensor("FloatStorage", shape, lambda name=name: model.values(name, "exp_avg", 4)),
            "exp_avg_sq": Tensor("FloatStorage", shape, lambda name=name: model.values(name, "exp_avg_sq", 4)),
        }
    matrices = [index for index, shape in enumerate(model.shapes.values()) if len(shape) > 1]
    vectors = [index for index, shape in enumerate(model.shapes.values()) if len(shape) == 1]
    groups = [
        {"lr": 5e-05, "betas": (0.9, 0.999), "eps": 1e-08, "weight_decay": decay, "amsgrad": False,
         "maximize": False, "foreach": None, "capturable": False, "differentiable": False, "fused": True,
         "initial_lr": 5e-05, "params": members}
        for decay, members in ((0.01, matrices), (0.0, vectors))
    ]
    return {"state": state, "param_groups": groups}


def scheduler_state(step):
    rate = learning_rate(step)
    return {"base_lrs": [5e-05, 5e-05], "last_epoch": step, "_step_count": step + 1, "_last_lr": [rate, rate],
            "lr_lambdas": [{}, {}]}


def random_state(options):
    source = random.Random(f"{options.seed}/{options.step}/rng")
    words = [source.getrandbits(32) for _ in range(624)]
    return {"python": source.getstate(), "numpy": ("MT19937", words, 624, 0, 0.0),
            "cpu": Tensor("ByteStorage", (5056,), lambda: source.randbytes(5056))}


def training_arguments(options):
    """A TrainingArguments object by name: only a program that has transformers could load it, nothing here does."""
    arguments = global_named("transformers.training_args", "TrainingArguments")()
    state = global_named("accelerate.state", "PartialState")()
    state.__dict__.update(num_processes=1, process_index=0, local_process_index=0)
    arguments.__dict__.update(
        output_dir="output", per_device_train_batch_size=4, gradient_accumulation_steps=8, num_train_epochs=3.0,
        max_steps=4 * options.step, learning_rate=5e-05, weight_decay=0.01, adam_beta1=0.9, adam_beta2=0.999,
        warmup_steps=100, seed=options.seed, bf16=True, save_steps=500, distributed_state=state)
    return arguments


def trainer_state(options):
    source = random.Random(f"{options.seed}/log")
    history = []
    for step in range(10, options.step + 1, 10):
        loss = 1.2 + 2.5 * math.exp(-step / 400) + source.uniform(-0.05, 0.05)
        history.append({"epoch": step / 1000, "grad_norm": round(source.uniform(0.5, 2), 4),
                        "learning_rate": learning_rate(step), "loss": round(loss, 4), "step": step})
        if step % 500 == 0:
            history.append({"epoch": step / 1000, "eval_loss": round(loss + 0.08, 4), "step": step})
    evaluations = [entry for entry in history if "eval_loss" in entry]
    best = min(evaluations, key=lambda entry: entry["eval_loss"], default=None)
    return {
        "best_global_step": best and best["step"], "best_metric": best and best["eval_loss"],
        "best_model_checkpoint": best and f"output/checkpoint-{best['step']}", "epoch": options.step / 1000,
        "eval_steps": 500, "global_step": options.step, "log_history": history, "logging_steps": 10,
        "max_steps": 4 * options.step, "num_train_epochs": 3, "save_steps": 500, "train_batch_size": 4,
    }


def learning_rate(step):
    return 5e-05 * min(1, step / 100) * 0.9998**step


# torch.save, without torch.

class Tensor:
    """A contiguous tensor on the CPU whose bytes are made when they are written."""

    def __init__(self, storage, shape, values):
        self.storage, self.shape, self.values = storage, shape, values

    def strides(self):
        return tuple(math.prod(self.shape[axis + 1:]) for axis in range(len(self.shape)))

    def __reduce__(self):
        storage = Storage(self)
        return (global_named("torch._utils", "_rebuild_tensor_v2"),
                (storage, 0, self.shape, self.strides(), False, collections.OrderedDict()))


class Storage:
    """What torch pickles as a persistent id: the bytes themselves are an entry of the zip."""

    def __init__(self, tensor):
        self.tensor = tensor


class TensorPickler(pickle.Pickler):
    """Protocol 2, as torch writes it; collects the tensors in the order in which their storages are numbered."""

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.tensors = []

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        tensor = value.tensor
        self.tensors.append(tensor)
        return ("storage", global_named("torch", tensor.storage), str(len(self.tensors) - 1), "cpu",
                math.prod(tensor.shape))


def global_named(module, name):
    """A stand-in class that pickles as `module.name` although that module is not installed."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    holder = sys.modules[module]
    if not hasattr(holder, name):
        setattr(holder, name, type(name, (), {"__module__": module, "__qualname__": name}))
    return getattr(holder, name)


class Collector(bytearray):
    """A file in memory for the pickler."""

    write = bytearray.extend


def torch_save(path, value):
    pickled = Collector()
    pickler = TensorPickler(pickled)
    pickler.dump(value)
    root = os.path.splitext(os.path.basename(path))[0]
    with open(path, "wb") as file:
        archive = TorchZip(file, root)
        archive.add("data.pkl", bytes(pickled))
        archive.add(".format_version", b"1")
        archive.add(".storage_alignment", b"64")
        archive.add("byteorder", b"little")
        for index, tensor in enumerate(pickler.tensors):
            archive.add(f"data/{index}", tensor.values())
        archive.add("version", b"3\n")
        archive.add(".data/serialization_id", b"%040d" % zlib.crc32(root.encode()))
        archive.close()


class TorchZip:
    """The zip that PyTorch writes: stored entries aligned to 64 bytes, sizes in data descriptors, and a zip64 end
    record in every file. Layout as in PyTorch's caffe2/serialize/inline_container.cc and the zip specification
    (APPNOTE 6.3). Entries of 4 GiB or more are not supported."""

    def __init__(self, file, root):
        self.file, self.root = file, root
        self.directory = []

    def add(self, name, data):
        name = f"{self.root}/{name}".encode()
        offset, crc = self.file.tell(), zlib.crc32(data)
        if len(data) >= 0xFFFFFFFF:
            raise ValueError(f"{name.decode()} is too large for one entry")
        # Bit 11: the name is UTF-8. Bit 3: size and CRC follow the data; PyTorch sets it unless there is no data.
        flags = 0x0808 if data else 0x0800
        padding = -(offset + 30 + len(name) + 4) % 64
        self.file.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, flags, 0, 0, 0, 0, 0, 0, len(name), padding + 4))
        self.file.write(name + b"FB" + struct.pack("<H", padding) + b"Z" * padding + data)
        if data:
            self.file.write(struct.pack("<IIII", 0x08074B50, crc, len(data), len(data)))
        self.directory.append((name, flags, crc, len(data), offset))

    def close(self):
        start = self.file.tell()
        for name, flags, crc, size, offset in self.directory:
            extra = struct.pack("<HHQ", 1, 8, offset) if offset >= 0xFFFFFFFF else b""
            self.file.write(struct.pack(
                "<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, flags, 0, 0, 0, crc, size, size, len(name), len(extra), 0, 0,
                0, 0, min(offset, 0xFFFFFFFF)) + name + extra)
        end = self.file.tell()
        count, size = len(self.directory), end - start
        self.file.write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 0x031E, 45, 0, 0, count, count, size, start))
        self.file.write(struct.pack("<IIQI", 0x07064B50, 0, end, 1))
        self.file.write(struct.pack(
            "<IHHHHIIH", 0x06054B50, 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), size, min(start, 0xFFFFFFFF), 0))


if __name__ == "__main__":
    main()
