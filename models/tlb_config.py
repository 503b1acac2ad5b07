"""Sizes of TLB models: one flat record of everything that can differ, and the named sizes.

A size is a name for a set of fields, `--set key=value` changes single fields:

    config("test", ["K=3", "M=5"])  ->  Config(d=16, ..., K=3, M=5)

Notation follows the TLB paper: T tokens are cut into chunks of K; M state vectors of width d go from chunk to chunk.
"""
import dataclasses

from system import configure


@dataclasses.dataclass(frozen=True)
class Config:
    # widths
    d: int = 16             # model width
    qkv: int = 16           # width of q, k and v over all heads
    heads: int = 2
    ffn: int = 32           # hidden width of the feed-forward part
    # lengths
    T: int = 20             # tokens (the largest length, where the length is dynamic)
    K: int = 4              # tokens per chunk; the last chunk is shorter where K does not divide T
    M: int = 2              # state vectors
    # input: "tokens" int64[B,T], "features" f32[B,T,features], "image" f32[B,channels,side,side] cut into patches
    input: str = "tokens"
    vocab: int = 16
    features: int = 48
    channels: int = 3
    side: int = 12
    patch: int = 3
    embed_norm: bool = False  # layer norm after the embedding (Keras)
    mask: bool = False        # token 0 is padding: attention never looks at it
    # positions
    pos: str = "local"        # "local" (the same in every chunk), "global", "none"
    learned_pos: bool = False
    state_pos: bool = True    # a sinusoid is added to the state at every chunk
    # blocks
    fast: str = "SSC"         # S: self block, C: cross block (tokens look at the state)
    slow: int = 1             # state updates stacked at the end of a chunk
    order: str = "listed"     # "keras": every entry runs as self block, each ratio-th once more as cross block;
                              # "keras3": so too, with an attention for each use and one feed-forward part for both
    ratio: int = 2            # read by order=keras and keras3 only
    causal: bool = False      # self blocks: a token sees none behind it in its chunk
    norms: str = "lra"        # "lra": one norm for the keys and values; "keras": a norm each for q, k and v
    bias: bool = False        # bias on the q, k, v and output projections
    gelu: str = "tanh"        # "tanh" or "erf"
    eps: float = 1e-6
    attention: str = "plain"  # "plain" matrix products, "sdpa" torch's scaled_dot_product_attention
    # state and head
    first_state: str = "zeros"  # "zeros" or "learned"
    flat_state: bool = False    # between chunks the state is [B, M*d] (Keras 3)
    pool: str = "state"         # what is averaged for the classifier: final "state", or "last" chunk of tokens
    final_norm: bool = True     # layer norm on the final state
    mlp: int = 0                # hidden width of the classifier, 0: a single linear map
    dual: bool = False          # two sequences, one encoder for both, a classifier of two hidden layers on the pair
    interact: bool = False      # dual: the classifier sees the product and the difference, too
    classes: int = 3
    softmax: bool = False
    # form of the exported graph
    chunks: str = "slice"       # how chunks are cut: "slice", "split", "stack" (reshape to [C,B,K,d], then index)
    loop: str = "list"          # "list" (append, concatenate), "buffer" (scatter into a tensor), "while"
    outputs: str = "logits"     # "logits" or "both": logits and the token stream f32[B,T,d]
    spread: float = 0.1         # random spread put on norms, biases and positions, so that each of them matters
    seed: int = 1

    def check(self):
        """Refuses sizes that cannot be built, with the reason."""
        for ok, reason in [
            (self.qkv % self.heads == 0, "heads must divide qkv"),
            (self.input != "image" or (self.side // self.patch) ** 2 == self.T, "T must be (side / patch) squared"),
            (self.chunks != "stack" or self.T % self.K == 0, "chunks=stack needs K to divide T"),
            (not self.mask or self.input == "tokens", "mask needs input=tokens"),
            (set(self.fast) <= set("SC"), "fast is a string of S and C"),
            (not self.dual or (self.mlp and self.outputs == "logits"), "dual needs mlp and outputs=logits"),
        ]:
            if not ok:
                raise ValueError(reason)
        return self


# The five Long Range Arena rows: no bias, tanh GELU, sinusoids, classifier with one hidden layer as wide as the FFN.
LRA_IMAGE = dict(d=128, qkv=64, heads=8, ffn=128, mlp=128, T=1024, K=32, M=5, vocab=256, fast="SC",
                 learned_pos=True, classes=10)
LRA_PATHFINDER = dict(d=128, qkv=64, heads=8, ffn=128, mlp=128, T=1024, K=64, M=5, vocab=256, pos="global", classes=2)
LRA_LISTOPS = dict(d=512, qkv=512, heads=8, ffn=1024, mlp=1024, T=2000, K=100, M=100, vocab=18, classes=10)
LRA_TEXT = dict(d=256, qkv=256, heads=4, ffn=1024, mlp=1024, T=4000, K=10, M=10, vocab=260, classes=2)

# The Keras example: patches of an image, M = K, the last chunk's tokens are classified.
KERAS = dict(input="image", embed_norm=True, pos="global", learned_pos=True, state_pos=False, order="keras", ratio=2,
             norms="keras", bias=True, gelu="erf", eps=1e-5, pool="last", final_norm=False, softmax=True)

TEST_KERAS = dict(KERAS, d=16, qkv=32, heads=2, ffn=64, T=16, K=4, M=4, side=12, patch=3, fast="SCSSCS")
KERAS_CIFAR = dict(KERAS, d=64, qkv=64, heads=1, ffn=256, T=144, K=8, M=8, side=48, patch=4, fast="SCSSCS", classes=10)

# Features in, learned positions and first state, logits and tokens out.
PLAIN = dict(input="features", features=48, pos="global", learned_pos=True, state_pos=False, first_state="learned",
             fast="SCSC", bias=True, gelu="erf", eps=1e-5, final_norm=False, classes=10, outputs="both")

SIZES = {name: Config(**fields).check() for name, fields in {
    "test": dict(),
    "test_dual": dict(mask=True, mlp=16, dual=True, interact=True, classes=2),
    "test_keras": TEST_KERAS,
    "test_keras3": dict(TEST_KERAS, order="keras3", flat_state=True),
    "tiny": dict(PLAIN, d=64, qkv=64, heads=4, ffn=128, T=16, K=4, M=2),
    "cifar": dict(PLAIN, d=256, qkv=256, heads=8, ffn=512, T=64, K=8, M=5, fast="SCSCSC"),
    "lra_image": LRA_IMAGE,
    "lra_pathfinder": LRA_PATHFINDER,
    "lra_listops": LRA_LISTOPS,
    "lra_text": LRA_TEXT,
    "lra_text400": dict(LRA_TEXT, T=400),
    "lra_retrieval_side": dict(LRA_TEXT, d=128, qkv=128, ffn=512, mlp=512),
    "lra_retrieval": dict(LRA_TEXT, d=128, qkv=128, ffn=512, mlp=512, mask=True, dual=True),
    "keras_cifar": KERAS_CIFAR,
    "keras3_cifar": dict(KERAS_CIFAR, order="keras3", flat_state=True),
    "tf_cifar": dict(KERAS, d=128, qkv=128, heads=1, ffn=512, T=144, K=8, M=8, side=48, patch=4, fast="SCSSCSSCS",
                     classes=10),
    "tf_imagenette": dict(KERAS, d=128, qkv=128, heads=1, ffn=512, T=196, K=14, M=14, side=224, patch=16,
                          fast="SCSSCSSCS", classes=10),
    "vit_s": dict(PLAIN, d=384, qkv=384, heads=6, ffn=1536, T=260, K=20, M=5, fast="SSCSSCSSCSSC"),
}.items()}


def config(name, settings=()):
    """The named size with `key=value` settings on top."""
    return configure(SIZES[name], settings)
