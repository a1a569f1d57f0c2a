"""What an organization runs: its data, its share, its model and its training.

    datasets      named data sets with a fixed held-out part; ``idx`` reads MNIST's files
    partition     who holds which samples: IID, Dirichlet, sorted shards, γ-similar, long tail
    models        ``logistic``, ``mlp``, ``cnn``, ``cnn_large``; state dictionaries as NumPy arrays
    optimizers    SGD and Adam, bit for bit those of torch
    training      train on a share, evaluate on it
    evaluation    judge a global model on the held-out part
    organization  one organization's place in the federation and its share of the data
    app           the Flower ``ClientApp``; the only file here that knows Flower

Importing ``quickthorn.client`` loads none of them, and neither torch nor Flower.
"""
