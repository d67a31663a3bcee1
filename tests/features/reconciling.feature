Feature: Checking the shop
  A person on duty has the shop checked while it is open, and is told what does not agree and whether it can be repaired.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens
    And she has paid

  Rule: What agrees is not told

    Scenario: Her order was paid for
      When the person on duty checks the shop
      Then stock, histories, payments and charges agree

  Rule: What a person has to decide about is told, and not repaired

    Scenario: A message was set aside
      Given the message about her payment has been set aside
      When the person on duty checks the shop
      Then the check tells of a message that was set aside
      And there is nothing that is safe to repair
