"""Image networks in the shapes of MobileNetV2 (width 1.0) and ResNet-18 for 224 x 224 images, written from their papers.

Weights are random but seeded, and batch normalisation gets statistics of its own, so that a compiler that loses a layer gives
other numbers. Activations keep their size over depth, as those of trained networks do.
"""
import torch
from torch import nn


def conv_norm(channels, out, kernel=1, stride=1, groups=1, activation=None):
    layers = [nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(out)]
    return layers + ([activation()] if activation else [])


class InvertedResidual(nn.Module):
    """1x1 up, 3x3 depthwise, 1x1 down without activation; added to its input where the shapes agree."""

    def __init__(self, channels, out, stride, expand):
        super().__init__()
        hidden = channels * expand
        up = conv_norm(channels, hidden, activation=nn.ReLU6) if expand > 1 else []
        self.layers = nn.Sequential(*up, *conv_norm(hidden, hidden, 3, stride, hidden, nn.ReLU6), *conv_norm(hidden, out))
        self.adds = stride == 1 and channels == out

    def forward(self, x):
        return x + self.layers(x) if self.adds else self.layers(x)


class MobileNetV2(nn.Module):
    BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]

    def __init__(self, classes=1000):
        super().__init__()
        layers, channels = conv_norm(3, 32, 3, 2, activation=nn.ReLU6), 32
        for expand, out, count, stride in self.BLOCKS:
            for i in range(count):
                layers.append(InvertedResidual(channels, out, stride if i == 0 else 1, expand))
                channels = out
        self.features = nn.Sequential(*layers, *conv_norm(channels, 1280, activation=nn.ReLU6))
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class BasicBlock(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.layers = nn.Sequential(*conv_norm(channels, out, 3, stride, activation=nn.ReLU), *conv_norm(out, out, 3))
        self.shortcut = nn.Sequential(*conv_norm(channels, out, 1, stride)) if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.layers(x) + self.shortcut(x))


class ResNet18(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        layers, channels = [*conv_norm(3, 64, 7, 2, activation=nn.ReLU), nn.MaxPool2d(3, 2, 1)], 64
        for out in (64, 128, 256, 512):
            layers += [BasicBlock(channels, out, 1 if out == 64 else 2), BasicBlock(out, out, 1)]
            channels = out
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def randomise(net, seed=0):
    """Random weights, and statistics as if the network had been trained on `image`-like inputs."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.6, 1.4)
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = None  # the average of what passes
    net.train()
    with torch.no_grad():
        for _ in range(4):
            net(torch.rand(4, 3, 224, 224))
    return net.eval()
