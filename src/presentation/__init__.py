"""Pictures, figures and the page of trained runs. Nothing in the model, the experiment or util imports it."""

DRAWN = ("attention_lambda0", "attention_mlp_lambda0")  # models that most pictures show: one per kind of attention
