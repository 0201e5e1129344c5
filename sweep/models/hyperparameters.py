"""Hyperparameters of the network: backbone, colorizer, standardisation, and the options of their constructors."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.core.conditions import Condition, Config, is_none_of, is_one_of
from sweep.core.errors import suggestion
from sweep.core.hyperparameter import Accepted, Hyperparameter, OneOf, between, one_of

NETWORK, COLORIZER, BACKBONE = "network", "colorizer", "backbone"  # the parts whose constructors take them
GREY_MEAN, GREY_STD = 0.5028, 0.2902  # of grey radiographs, Morra et al.; also for networks without published values


def _colorizers() -> Iterable[str]:
    from sweep.models.colorizers import COLORIZERS

    return COLORIZERS


def _known_weights() -> Iterable[str]:
    from sweep.models.known_weights import KNOWN_WEIGHTS

    return KNOWN_WEIGHTS


def _upsamplers() -> Iterable[str]:
    from sweep.models.colorizers.texture_color import UPSAMPLERS

    return UPSAMPLERS


def _backbone(value: str) -> str | None:
    from sweep.models.backbones import BACKBONES, known_backbone

    if known_backbone(value):
        return None
    import timm  # here, since its import takes seconds that no backbone of our own needs

    return f"{value!r} is unknown; {suggestion(value, [*BACKBONES, *timm.list_models()])}"


def _learned(config: Config) -> bool:
    from sweep.models.colorizers import COLORIZERS

    return COLORIZERS[config["colorizer"]].learned


def _own_statistics(config: Config) -> bool:
    """Colours can be standardised in two ways: not those of a learned colorizer, and some backbones have no published values."""
    from sweep.models.backbones import WITHOUT_STATISTICS

    return not _learned(config) and config["backbone"] not in WITHOUT_STATISTICS


def _transformer(config: Config) -> bool:
    from sweep.models.backbones import TRANSFORMERS

    return config["backbone"] in TRANSFORMERS


LEARNED = Condition(_learned, "the colorizer has weights", ("colorizer",))
_OWN_STATISTICS = Condition(_own_statistics, "the colorizer has no weights and the backbone has published statistics")
_GREY_STATISTICS = Condition(
    lambda config: not _own_statistics(config) or config["input_norm"] == "grey",
    "the image is standardised as grey: a learned colorizer, a backbone without published statistics, or `input_norm` grey",
)
_TRANSFORMER = Condition(_transformer, "`backbone` is a cnn_transformer", ("backbone",))
_DECOMPOSITION = is_one_of("colorizer", "decomposition")


def _grey(name: str, value: float, words: str, low: float, argument: str) -> Hyperparameter:
    return Hyperparameter(
        name,
        f"{words} of the grey image in [0, 1] where it is standardised; {value} when left out",
        (float,),
        None,
        between(low, 1),
        optional=True,
        active=_GREY_STATISTICS,
        argument=f"{NETWORK}.{argument}",
    )


def _clahe(name: str, help: str, kind: type, default: float, low: float, high: float) -> Hyperparameter:
    return Hyperparameter(
        f"clahe_{name}",
        help,
        (kind,),
        default,
        between(low, high),
        active=_DECOMPOSITION,
        argument=f"{COLORIZER}.{name}",
    )


def _transformer_size(name: str, help: str, kind: type, low: float, high: float, argument: str) -> Hyperparameter:
    return Hyperparameter(
        name,
        f"{help}; the backbone's own default when left out",
        (kind,),
        None,
        between(low, high),
        optional=True,
        active=_TRANSFORMER,
        argument=f"{BACKBONE}.{argument}",
    )


ROWS = (
    Hyperparameter(
        "backbone",
        "small_cnn, cnn_transformer or any timm name",
        (str,),
        "small_cnn",
        Accepted(_backbone, "see `sweep/models/backbones.py` and timm"),
        argument=f"{NETWORK}.backbone",
    ),
    Hyperparameter(
        "weights",
        "imagenet, a file of weights, or nothing for a random start",
        (str,),
        None,
        optional=True,
    ),
    Hyperparameter(
        "weights_name",
        "which publication a file of weights is (sweep/models/known_weights.py): its input statistics are used, and the report says which data sets it has seen",
        (str,),
        None,
        OneOf(_known_weights),
        optional=True,
        active=is_none_of("weights", None, "imagenet"),
        since="0.2",
    ),
    Hyperparameter(
        "colorizer",
        "module that makes three channels of the grey image",
        (str,),
        "none",
        OneOf(_colorizers),
        argument=f"{NETWORK}.colorizer",
    ),
    Hyperparameter(
        "colorizer_from",
        "start the colorizer from another trial (RUN/SIGNATURE, RUN/SIGNATURE/seed-K or a .safetensors file), or from the same configuration and seed trained on the other domain (other_domain)",
        (str,),
        None,
        optional=True,
        active=LEARNED,
    ),
    Hyperparameter(
        "dropout",
        "dropout before the last layer",
        (float,),
        0.0,
        between(0, 0.95),
        argument=f"{NETWORK}.dropout",
    ),
    Hyperparameter(
        "input_norm",
        "how the channels of a fixed colorizer are standardised: as the backbone was published, or by grey_mean and grey_std",
        (str,),
        "published",
        one_of("published", "grey"),
        active=_OWN_STATISTICS,
        argument=f"{NETWORK}.input_norm",
    ),
    _grey("grey_mean", GREY_MEAN, "mean", 0, "mean"),
    _grey("grey_std", GREY_STD, "standard deviation", 0.01, "std"),
    Hyperparameter(
        "colorizer_init",
        "initial weights of coloru and deco: as the published code draws them, or Xavier's, as version 0.1 drew them",
        (str,),
        "published",
        one_of("published", "xavier"),
        active=is_one_of("colorizer", "coloru", "deco"),
        argument=f"{COLORIZER}.init",
        since="0.2",
        before="xavier",
    ),
    Hyperparameter(
        "tc_upsample",
        "upsampling of texture_color: transposed convolution, or nearest neighbour and a convolution",
        (str,),
        "tconv",
        OneOf(_upsamplers),
        active=is_one_of("colorizer", "texture_color"),
        argument=f"{COLORIZER}.tc_upsample",
    ),
    _clahe("tiles", "tiles along each side of decomposition's local contrast", int, 8, 1, 32),
    _clahe("bins", "bins of the histogram of a tile", int, 64, 2, 256),
    _clahe("clip", "largest count of a bin, in even shares; the excess is spread over all bins", float, 2.0, 1, 256),
    Hyperparameter(
        "token",
        "token of cnn_transformer: one channel of the feature map, or one position",
        (str,),
        None,
        one_of("channel", "spatial"),
        optional=True,
        active=_TRANSFORMER,
        argument=f"{BACKBONE}.token",
    ),
    Hyperparameter(
        "token_norm",
        "layer norm of each token before the transformer",
        (bool,),
        True,
        active=_TRANSFORMER,
        argument=f"{BACKBONE}.token_norm",
    ),
    _transformer_size("transformer_width", "width to which tokens are projected", int, 8, 4096, "d_model"),
    _transformer_size("transformer_depth", "transformer blocks", int, 1, 24, "depth"),
    _transformer_size("transformer_heads", "attention heads, a divisor of the width", int, 1, 64, "heads"),
    _transformer_size(
        "transformer_mlp_ratio", "hidden units of a block's perceptron, in widths", float, 0.25, 8, "mlp_ratio"
    ),
    _transformer_size("backbone_dropout", "dropout inside cnn_transformer", float, 0, 0.95, "dropout"),
)
