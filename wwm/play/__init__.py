"""A page in which one types a text and sees what masking and models make of it: `wwm play`."""
