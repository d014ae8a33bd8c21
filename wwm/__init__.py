"""Pre-training of Chinese BERT with whole word masking: raw text in, compared models out."""
