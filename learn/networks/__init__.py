"""Network architectures: the encoder, other backbones, and heads."""
