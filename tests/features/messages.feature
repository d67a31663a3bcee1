Feature: Messages
  A customer writes to the shop, about an order or in general. A message that was accepted is stored, and stored once.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: A message that was accepted is stored

    Scenario: She writes about her order
      When she writes "Where is it?" about her order
      Then the job has been completed
      And the messages about her order are: "Where is it?"

    Scenario: She writes twice
      Given she has written "Where is it?" about her order
      When she writes "Found it." about her order
      Then the messages about her order are: "Found it.", "Where is it?"

    Scenario: She writes in general
      When she writes "Do you sell ink?" to the shop
      Then "Do you sell ink?" is among the messages to the shop

  Rule: One key is one message

    Scenario: The answer got lost
      Given she has written "Where is it?" about her order under the key "first"
      When she writes "Where is it?" about her order under the key "first"
      Then it is the same job
      And the messages about her order are: "Where is it?"

  Rule: There is nothing to say about an order that does not exist

    Scenario: She writes about no order
      When she writes about an order that does not exist
      Then that is refused: unknown order
