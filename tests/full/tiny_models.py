"""Tiny models of every kind that the hub runners load, made on the spot, with known answers.

The weights are random but for the last layer, which is set so that the answer is the same whatever
the input is: classifiers give the shares they are made for, writers repeat one word. So a test can
tell the true output of the whole way (files, loading, running, writing) from any other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

WORDS = ("good", "bad", "hello", "world", "the", "cat", "sat.", "más")
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
WIDTH = 16
POSITIONS = 64
_ATTENTION = {
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
}
_SEQ2SEQ = {
    "d_model": WIDTH,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": WIDTH,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": WIDTH,
    "encoder_layers": 1,
}


def tokenizer(folder: Path, *, longest: int = POSITIONS, marks: bool = True) -> int:
    """Save one that knows WORDS, one token each; give the number of its tokens."""
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if marks:
        words.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=longest,
        pad_token="<pad>",
        unk_token="<unk>",
    )
    fast.save_pretrained(folder)
    return len(vocabulary)


def token(word: str) -> int:
    """Give the number of a word."""
    return (*SPECIAL, *WORDS).index(word)


def classifier(folder: Path, shares: dict[str, float]) -> Path:
    """Make one that gives every text these shares."""
    config = transformers.DistilBertConfig(
        vocab_size=tokenizer(folder),
        dim=WIDTH,
        hidden_dim=WIDTH,
        id2label=dict(enumerate(shares)),
        label2id={label: number for number, label in enumerate(shares)},
        max_position_embeddings=POSITIONS,
        n_heads=2,
        n_layers=1,
        pad_token_id=1,
    )
    model = transformers.DistilBertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([math.log(share) for share in shares.values()]))
    model.save_pretrained(folder)
    return folder


def bart(folder: Path, *, says: str = "cat", words: int = 30) -> Path:
    """Make a summarizer that says one word so many times."""
    config = transformers.BartConfig(
        vocab_size=tokenizer(folder),
        max_position_embeddings=POSITIONS,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        **_SEQ2SEQ,
    )
    model = transformers.BartForConditionalGeneration(config)
    model.final_logits_bias[0, token(says)] = 1000.0
    model.generation_config.max_length = words + 1
    model.save_pretrained(folder)
    return folder


def t5(folder: Path, *, prefix: str, words: int) -> Path:
    """Make a summarizer whose configuration has a prefix and a length; it says "cat" only."""
    config = transformers.T5Config(
        vocab_size=tokenizer(folder),
        d_model=WIDTH,
        d_kv=8,
        d_ff=WIDTH,
        num_layers=1,
        num_heads=2,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        task_specific_params={
            "summarization": {"prefix": prefix, "max_length": words + 1, "min_length": words + 1}
        },
    )
    model = transformers.T5ForConditionalGeneration(config)
    with torch.no_grad():
        # No layer has a bias, and the first and the last are one: let one dimension be positive
        # throughout, and say what has most of it. What lies between adds nothing to it: by chance
        # that would make it negative now and then.
        for name, parameter in model.named_parameters():
            if "layer_norm" not in name:
                parameter.zero_()
        model.shared.weight[:, 0] = 1.0
        model.shared.weight[token("cat"), 0] = 2.0
    model.save_pretrained(folder)
    return folder


def marian(folder: Path, *, says: str, words: int = 2) -> Path:
    """Make a translator that says one word so many times."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.txt"
    corpus.write_text(f"hello world {says} the cat sat\n" * 20, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "source"), vocab_size=30,
        hard_vocab_limit=False, bos_id=-1, minloglevel=2, normalization_rule_name="identity",
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.model"))
    (folder / "source.model").rename(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    known = ["</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(pieces.get_piece_size()))]
    known += [f"\u2581{says}", "<pad>"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(known))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    config = transformers.MarianConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=POSITIONS,
        pad_token_id=vocabulary["<pad>"],
        eos_token_id=0,
        decoder_start_token_id=vocabulary["<pad>"],
        forced_eos_token_id=None,
        **_SEQ2SEQ,
    )
    model = transformers.MarianMTModel(config)
    model.final_logits_bias[0, vocabulary[f"\u2581{says}"]] = 1000.0
    model.generation_config.max_length = words + 1
    model.save_pretrained(folder)
    transformers.MarianTokenizer(
        str(folder / "source.spm"),
        str(folder / "target.spm"),
        str(folder / "vocab.json"),
        model_max_length=POSITIONS,
    ).save_pretrained(folder)
    return folder


def _vision() -> dict[str, int]:
    return {**_ATTENTION, "image_size": 32, "patch_size": 16}


def vit_gpt2(folder: Path, *, says: str = "cat") -> Path:
    """Make a captioner of a vision encoder and GPT-2."""
    size = tokenizer(folder, marks=False)
    model = transformers.VisionEncoderDecoderModel(
        encoder=transformers.ViTModel(transformers.ViTConfig(**_vision())),
        decoder=transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=size,
                n_embd=WIDTH,
                n_layer=1,
                n_head=2,
                n_positions=POSITIONS,
                bos_token_id=0,
                eos_token_id=2,
                add_cross_attention=True,
                is_decoder=True,
            )
        ),
    )
    final = model.decoder.transformer
    with torch.no_grad():
        final.ln_f.weight.zero_()
        final.ln_f.bias.copy_(1000 * final.wte.weight[token(says)])
    for config in (model.config, model.generation_config):
        config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 0, 1, 2
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def git(folder: Path, *, says: str = "cat") -> Path:
    """Make a captioner of the kind GIT."""
    config = transformers.GitConfig(
        vision_config=_vision(),
        vocab_size=tokenizer(folder),
        max_position_embeddings=POSITIONS,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        **_ATTENTION,
    )
    model = transformers.GitForCausalLM(config)
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias[token(says)] = 1000.0
    model.save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder


def blip(folder: Path, *, says: str = "cat") -> Path:
    """Make a captioner of the kind BLIP."""
    text = {
        "vocab_size": tokenizer(folder), "max_position_embeddings": POSITIONS, "bos_token_id": 0,
        "pad_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "encoder_hidden_size": WIDTH,
        **_ATTENTION,
    }  # fmt: skip
    config = transformers.BlipConfig(
        text_config=text,
        vision_config=_vision(),
        projection_dim=WIDTH,
        image_text_hidden_size=WIDTH,
    )
    model = transformers.BlipForConditionalGeneration(config)
    with torch.no_grad():
        model.text_decoder.cls.predictions.decoder.weight.zero_()
        model.text_decoder.cls.predictions.decoder.bias[token(says)] = 1000.0
    model.save_pretrained(folder)
    transformers.BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def whisper(folder: Path) -> Path:
    """Make one that says " cat" only, in the form of CTranslate2, by way of the library's own."""
    from ctranslate2.converters import TransformersConverter

    source = folder.with_name(f"{folder.name}-source")
    size = _whisper_tokenizer(source)
    config = transformers.WhisperConfig(
        vocab_size=size,
        num_mel_bins=80,
        max_source_positions=1500,
        max_target_positions=448,
        bos_token_id=0,
        pad_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=1,
        **_SEQ2SEQ,
    )
    torch.manual_seed(0)
    model = transformers.WhisperForConditionalGeneration(config)
    with torch.no_grad():
        tokens = model.model.decoder.embed_tokens.weight
        model.model.decoder.layer_norm.weight.zero_()
        model.model.decoder.layer_norm.bias.copy_(1000 * tokens[_BYTES])
    model.generation_config.suppress_tokens = []
    model.generation_config.begin_suppress_tokens = []
    model.generation_config.no_timestamps_token_id = size - 1502
    model.generation_config.alignment_heads = [[0, 0]]
    model.save_pretrained(source)
    transformers.WhisperFeatureExtractor().save_pretrained(source)
    TransformersConverter(
        str(source), copy_files=["tokenizer.json", "preprocessor_config.json"]
    ).convert(str(folder))
    return folder


#: how many bytes there are: the number of the first token that is a word
_BYTES = 256


def _whisper_tokenizer(folder: Path) -> int:
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|es|>", "<|translate|>"]
    special += ["<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special += ["<|notimestamps|>", *(f"<|{number / 50:.2f}|>" for number in range(1501))]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, "\u0120cat"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    words = Tokenizer(models.BPE(vocabulary, [], ignore_merges=True))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.add_special_tokens(special)
    folder.mkdir(parents=True)
    words.save(str(folder / "tokenizer.json"))
    return words.get_vocab_size()


def sentence_encoder(folder: Path, kind: str) -> Path:
    """Make an encoder as sentence-transformers keeps them; `kind` is bert, mpnet or distilbert."""
    size = tokenizer(folder)
    common = {"vocab_size": size, "max_position_embeddings": POSITIONS, "pad_token_id": 1}
    torch.manual_seed(0)
    if kind == "distilbert":
        small = {"dim": WIDTH, "hidden_dim": WIDTH, "n_heads": 2, "n_layers": 1}
        config = transformers.DistilBertConfig(**common, **small)
        transformers.DistilBertModel(config).save_pretrained(folder)
    elif kind == "mpnet":
        common["max_position_embeddings"] += 2  # it counts positions from 2
        config = transformers.MPNetConfig(**common, **_ATTENTION)
        transformers.MPNetModel(config).save_pretrained(folder)
    else:
        config = transformers.BertConfig(**common, **_ATTENTION)
        transformers.BertModel(config).save_pretrained(folder)
    return folder


def shares_of(labels: Sequence[str]) -> dict[str, float]:
    """Give shares for labels, different from each other, that add up to 1."""
    total = sum(range(1, len(labels) + 1))
    return {label: number / total for number, label in enumerate(labels, 1)}
