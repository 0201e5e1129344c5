"""Grey image to logits: colorizers, backbones, heads; the only room that knows timm."""
