"""What the differential test is made of: records, questions, and what makes two answers the same."""
