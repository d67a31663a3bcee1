Feature: Jobs
  What the shop has accepted for later is a job, and whoever asked for it can follow it to its end.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: A job can be followed to its end

    Scenario: A message
      When she writes "Where is it?" about her order
      Then the job has been completed

    Scenario: An order
      Then her order is a job that has been completed

  Rule: What was done can't be cancelled

    Scenario: A job is cancelled after it was done
      Given she has written "Where is it?" about her order
      When the job is cancelled
      Then that is refused: illegal transition
      And the messages about her order are: "Where is it?"
