"""The autoencoder study: links pruned by Shapley value or magnitude, judged by an SVM."""
