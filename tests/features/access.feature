Feature: Access
  Whoever calls the shop has a key, and may do what the key says.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: A customer sees and changes its own orders alone

    Scenario: She uses her own order
      Given she has a key
      When she pays
      Then her order is paid

    Scenario: Another customer looks at her order
      Given another customer has a key
      When he looks at her order
      Then that is refused: unknown order

    Scenario: Another customer cancels her order
      Given another customer has a key
      When he cancels her order
      Then that is refused: unknown order
      And to the shop her order is pending

    Scenario: Another customer asks to pay as she did
      Given she has a key
      And she has asked to pay under the key "monday"
      And another customer has a key
      When he asks to pay under the key "monday"
      Then that is refused: unknown order

    Scenario: Another customer orders in her name
      Given another customer has a key
      When she orders 1 fountain pen
      Then that is refused: forbidden

  Rule: What a key does not allow is not done

    Scenario: She wants her money back without the shop
      Given she has a key
      When she asks for a refund
      Then that is refused: forbidden

  Rule: A key that was revoked opens nothing

    Scenario: Her key is revoked
      Given she has a key
      And her key was revoked
      When she asks to pay
      Then that is refused: unauthenticated
