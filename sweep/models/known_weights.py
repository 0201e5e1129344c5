"""Public weights and the images they were trained on: which of the data sets that can be imported they have seen.

An entry is what the publisher states, with the place of the statement. `seen` answers for an importer's data set: yes, no, or unknown where
the publisher's list is open or not public. Nothing is downloaded from here: `weights: imagenet` asks timm's hub, anything else is a local file,
whose entry `weights_name` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Answer = Literal["yes", "no", "unknown"]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

# Importer -> the published collections that its images are from; importers of a user's own files have none.
COLLECTIONS: Mapping[str, tuple[str, ...]] = {
    "busi": ("BUSI",),
    "brest": ("BrEaST",),
    "busbra": ("BUS-BRA",),
    "bus_uclm": ("BUS-UCLM",),
    "udiat": ("UDIAT",),
    "busis": ("BUSIS",),
    "oasbud": ("OASBUD",),
    "kermany": ("Kermany",),
    "chestxray14": ("ChestX-ray14",),
    "nih_sample": ("ChestX-ray14",),
    "rsna_pneumonia": ("ChestX-ray14",),  # RSNA relabelled images of ChestX-ray14
    "vindr_cxr": ("VinDr-CXR",),
    "chexpert": ("CheXpert",),
    "medmnist": ("BUSI", "Kermany"),  # breastmnist, pneumoniamnist
    "chestmnist": ("ChestX-ray14",),
    "iqothnccd": ("IQ-OTH/NCCD",),
    "brain4": ("brain MRI, four classes",),
}


def simulated(importer: str) -> bool:
    """Whether an importer's images are simulated here (phantom-a, phantom:SCANNER), so that no weights can have seen them."""
    return importer.partition(":")[0].partition("-")[0] == "phantom"


@dataclass(frozen=True)
class KnownWeights:
    """One publication. `complete` says that `trained_on` lists every collection, so that what is not in it was not seen.

    `mean` and `std` are the input statistics by channel of images in [0, 1]. `where` is the place of the statement about the training images.
    """

    name: str
    backbone: str
    licence: str
    trained_on: tuple[str, ...]
    complete: bool
    where: str
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]

    def seen(self, importer: str) -> Answer:
        """Whether these weights may have seen the images that `importer` reads."""
        if simulated(importer):
            return "no"
        if importer not in COLLECTIONS:
            return "unknown"
        if {*COLLECTIONS[importer]} & {*self.trained_on}:
            return "yes"
        return "no" if self.complete else "unknown"


_PHOTOS, _LARGE = ("ImageNet-1k",), ("ImageNet-21k", "ImageNet-1k")
_LVD = ("LVD-1689M (curated web images)",)
_TIMM, _DINOV3 = "timm model card", "arXiv 2508.10104, section 3"

_ROWS = (
    KnownWeights("resnet18.a1_in1k", "resnet18", "Apache-2.0", _PHOTOS, True, _TIMM),
    KnownWeights("resnet50.a1_in1k", "resnet50", "Apache-2.0", _PHOTOS, True, _TIMM),
    KnownWeights("densenet121.ra_in1k", "densenet121", "Apache-2.0", _PHOTOS, True, _TIMM),
    KnownWeights("mobilenetv2_100.ra_in1k", "mobilenetv2_100", "Apache-2.0", _PHOTOS, True, _TIMM),
    KnownWeights("convnext_tiny.in12k_ft_in1k", "convnext_tiny", "Apache-2.0", ("ImageNet-12k", "ImageNet-1k"), True, _TIMM),
    KnownWeights("vit_tiny_patch16_224.augreg_in21k_ft_in1k", "vit_tiny_patch16_224", "Apache-2.0", _LARGE, True, _TIMM, *HALF),
    KnownWeights("vit_small_patch16_224.augreg_in21k_ft_in1k", "vit_small_patch16_224", "Apache-2.0", _LARGE, True, _TIMM, *HALF),
    KnownWeights("vit_base_patch16_224.augreg2_in21k_ft_in1k", "vit_base_patch16_224", "Apache-2.0", _LARGE, True, _TIMM, *HALF),
    KnownWeights("torchvision.squeezenet1_1", "torchvision:squeezenet1_1", "BSD-3-Clause", _PHOTOS, True, "torchvision documentation"),
    KnownWeights("vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_dinov2", "Apache-2.0", ("LVD-142M (curated web images)",), False, "arXiv 2304.07193, section 3"),
    KnownWeights("vit_small_patch16_dinov3.lvd1689m", "vit_small_patch16_dinov3", "DINOv3 licence", _LVD, False, _DINOV3),
    KnownWeights("convnext_tiny.dinov3_lvd1689m", "convnext_tiny", "DINOv3 licence", _LVD, False, _DINOV3),
    KnownWeights("robust_resnet18_l2_eps3", "resnet18", "MIT", _PHOTOS, True, "madrylab/robust-imagenet-models"),
    KnownWeights("robust_resnet50_linf_eps4", "resnet50", "MIT", _PHOTOS, True, "madrylab/robust-imagenet-models"),
    KnownWeights("radimagenet_resnet50", "resnet50", "non-commercial research, own terms", ("RadImageNet (CT, MRI and ultrasound of one institution)",), True, "10.1148/ryai.210315"),
    KnownWeights("usfm", "vit_base_patch16_224", "see the publisher", ("3M-US (public sets and hospitals)",), False, "10.1016/j.media.2024.103202"),
    KnownWeights("tinyusfm", "vit_tiny_patch16_224", "Apache-2.0", ("a part of 3M-US",), False, "publisher's repository"),
    KnownWeights("openus", "vit_small_patch16_224", "see the publisher", ("BUSI", "BrEaST", "BUS-BRA"), False, "publisher's list of pre-training and validation sets"),
    KnownWeights("biomedclip", "vit_base_patch16_224", "MIT", ("PMC-15M (figures of articles)",), False, "arXiv 2303.00915", *CLIP),
    KnownWeights("rad_dino", "vit_base_patch14_dinov2", "research licence of the publisher", ("MIMIC-CXR", "CheXpert", "ChestX-ray14", "PadChest", "BRAX"), True, "arXiv 2401.10815"),
)  # fmt: skip
KNOWN_WEIGHTS: Mapping[str, KnownWeights] = {row.name: row for row in _ROWS}


def past_of(backbone: str, weights: str | None, weights_name: str | None) -> KnownWeights | None:
    """The entry of a configuration's weights: the one it names, or for `imagenet` that of the backbone; None where neither says which they are."""
    if weights is None:
        return None
    if weights_name is not None:
        return KNOWN_WEIGHTS[weights_name]
    if weights != "imagenet":
        return None
    architecture, _, tag = backbone.partition(".")
    if tag:
        return KNOWN_WEIGHTS.get(backbone)
    usual = [row for row in _ROWS if row.backbone == architecture and row.complete and "in1k" in row.name]
    return usual[0] if usual else None


def past(backbone: str, weights: str | None, weights_name: str | None, importers: Mapping[str, str]) -> list[str]:
    """Whether a configuration's weights have seen each data set: yes, no or unknown, a sentence each; none for a random start.

    `importers` is data set's name -> importer's name.
    """
    return [sentence for _, sentence in _answers(backbone, weights, weights_name, importers)]


def may_have_seen(
    backbone: str, weights: str | None, weights_name: str | None, importers: Mapping[str, str]
) -> list[str]:
    """What a user must know before believing a result on these data sets: the sentences of `past` whose answer is yes or unknown."""
    return [sentence for answer, sentence in _answers(backbone, weights, weights_name, importers) if answer != "no"]


def _answers(
    backbone: str, weights: str | None, weights_name: str | None, importers: Mapping[str, str]
) -> Iterator[tuple[Answer, str]]:
    """Answer and sentence for each data set; none for a random start."""
    if weights is None:
        return
    row = past_of(backbone, weights, weights_name)
    for name, importer in importers.items():
        answer: Answer = "no" if simulated(importer) else "unknown" if row is None else row.seen(importer)
        yield answer, _sentence(answer, row, f"{weights} of {backbone}", name, importer)


def _sentence(answer: Answer, row: KnownWeights | None, weights: str, name: str, importer: str) -> str:
    published = ", ".join(COLLECTIONS.get(importer, ()))
    shown = name if not published or published.lower() == name.lower() else f"{name} ({published})"
    if simulated(importer):
        return f"the weights {row.name if row else weights} have not seen {shown}: it is simulated here"
    if row is None:
        return f"the training data of the weights {weights} are not given: whether they have seen {shown} is unknown; name their publication by weights_name"
    known = ", ".join(row.trained_on)
    if answer == "yes":
        return f"the weights {row.name} have seen {shown} ({row.where}): a result on it is no test"
    if answer == "no":
        return f"the weights {row.name} have not seen {shown}: they were trained on {known} ({row.where})"
    if importer not in COLLECTIONS:
        return f"the weights {row.name} may have seen {shown} if its images are published: they were trained on {known} ({row.where})"
    return f"the weights {row.name} may have seen {shown}: their training images ({known}) are not all listed ({row.where})"
